<?php

// Laravel's session store and cache, as its service providers make them for `SESSION_DRIVER=redis`.
use Illuminate\Cache\RedisStore;
use Illuminate\Cache\Repository;
use Illuminate\Foundation\Application;
use Illuminate\Redis\RedisManager;
use Illuminate\Session\CacheBasedSessionHandler;
use Illuminate\Session\Store;

const MINUTES = 120;

function cache_store(string $client): RedisStore
{
    $connection = ['host' => '127.0.0.1', 'port' => 6379, 'database' => 0, 'timeout' => 5, 'read_timeout' => 30];

    return new RedisStore(new RedisManager(new Application, $client, ['default' => $connection]), 'laravel_', 'default');
}

function session_store(RedisStore $cache, ?string $id): Store
{
    $store = new Store('laravel_session', new CacheBasedSessionHandler(new Repository($cache), MINUTES), $id);
    $store->start();

    return $store;
}

<?php

// A small web application with Laravel's sessions in Redis.
require_once 'Illuminate/autoload.php';
require_once __DIR__.'/stores.php';

try {
    $session = session_store(cache_store('phpredis'), $_COOKIE['laravel_session'] ?? null);

    if ($_SERVER['REQUEST_METHOD'] === 'POST') {
        $session->put('number', (int) $_GET['number']);
        $session->save();
        setcookie($session->getName(), $session->getId());
        echo 'saved';
    } elseif ($session->has('number')) {
        echo $session->get('number');
    } else {
        http_response_code(404);
    }
} catch (Exception $error) {
    http_response_code(503);
    echo get_class($error), ': ', $error->getMessage();
}

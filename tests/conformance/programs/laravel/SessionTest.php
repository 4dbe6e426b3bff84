<?php

use PHPUnit\Framework\TestCase;

require_once __DIR__.'/stores.php';

/**
 * Sessions and locks as applications use them, with each client: Laravel's own tests of these need its testbench, which is in no package.
 */
class SessionTest extends TestCase
{
    public static function clients(): array
    {
        return ['phpredis' => ['phpredis'], 'predis' => ['predis']];
    }

    private $cache;

    private function open(string $client): void
    {
        $this->cache = cache_store($client);
        $this->cache->connection()->flushdb();
    }

    private function session(?string $id = null)
    {
        return session_store($this->cache, $id);
    }

    /** @dataProvider clients */
    public function test_a_session_is_there_in_the_next_request(string $client): void
    {
        $this->open($client);
        $first = $this->session();
        $first->put('cart', ['apples' => 3, 'note' => "b\0c"]);
        $first->save();
        $second = $this->session($first->getId());
        $this->assertSame(['apples' => 3, 'note' => "b\0c"], $second->get('cart'));
        $this->assertNull($this->session()->get('cart'));
    }

    /** @dataProvider clients */
    public function test_it_lives_as_long_as_the_configuration_says(string $client): void
    {
        $this->open($client);
        $session = $this->session();
        $session->save();
        $redis = $this->cache->connection();
        $this->assertEqualsWithDelta(MINUTES * 60, $redis->ttl($this->cache->getPrefix().$session->getId()), 5);
        $redis->expire($this->cache->getPrefix().$session->getId(), 60);
        $this->session($session->getId())->save();
        $this->assertEqualsWithDelta(MINUTES * 60, $redis->ttl($this->cache->getPrefix().$session->getId()), 5);
    }

    /** @dataProvider clients */
    public function test_flashed_data_lives_for_one_request_more(string $client): void
    {
        $this->open($client);
        $session = $this->session();
        $session->flash('status', 'saved');
        $session->save();
        $next = $this->session($session->getId());
        $this->assertSame('saved', $next->get('status'));
        $next->save();
        $this->assertNull($this->session($session->getId())->get('status'));
    }

    /** @dataProvider clients */
    public function test_a_login_gives_it_another_id_and_ends_the_old_one(string $client): void
    {
        $this->open($client);
        $session = $this->session();
        $session->put('cart', 1);
        $session->save();
        $before = $session->getId();
        $session->regenerate(true);
        $session->save();
        $this->assertNotSame($before, $session->getId());
        $this->assertSame(1, $this->session($session->getId())->get('cart'));
        $this->assertNull($this->session($before)->get('cart'));
    }

    /** @dataProvider clients */
    public function test_a_logout_ends_it(string $client): void
    {
        $this->open($client);
        $session = $this->session();
        $session->put('cart', 1);
        $session->save();
        $before = $session->getId();
        $session->invalidate();
        $this->assertNull($this->cache->connection()->get($this->cache->getPrefix().$before));
    }

    /** @dataProvider clients */
    public function test_a_lock_is_held_by_one_and_released_by_its_owner_only(string $client): void
    {
        $this->open($client);
        $mine = $this->cache->lock('session', 10);
        $other = $this->cache->lock('session', 10);
        $this->assertTrue($mine->get());
        $this->assertFalse($other->get());
        $this->assertFalse((bool) $other->release());
        $this->assertFalse($other->get());
        $this->assertTrue((bool) $mine->release());
        $this->assertTrue($other->get());
        $this->assertTrue((bool) $this->cache->restoreLock('session', $other->owner())->release());
    }

    /** @dataProvider clients */
    public function test_a_lock_ends_by_itself(string $client): void
    {
        $this->open($client);
        $this->assertTrue($this->cache->lock('session', 1)->get());
        $began = microtime(true);
        $this->assertTrue($this->cache->lock('session', 10)->block(5));
        $this->assertGreaterThan(0.5, microtime(true) - $began);
    }

    /** @dataProvider clients */
    public function test_a_counter_is_added_once_and_counted(string $client): void
    {
        $this->open($client);
        $this->assertTrue($this->cache->add('hits', 1, 60));
        $this->assertFalse($this->cache->add('hits', 5, 60));
        $this->assertEquals(4, $this->cache->increment('hits', 3));
        $this->assertEquals(2, $this->cache->decrement('hits', 2));
        $this->assertEquals(2, $this->cache->get('hits'));
    }

    /** @dataProvider clients */
    public function test_many_values_are_written_and_read_at_once(string $client): void
    {
        $this->open($client);
        $values = ['a' => 'one', 'b' => 2, 'c' => [3]];
        $this->assertTrue($this->cache->putMany($values, 60));
        $this->assertEquals($values + ['d' => null], $this->cache->many(['a', 'b', 'c', 'd']));
        $this->cache->forever('e', 'five');
        $this->assertSame(-1, $this->cache->connection()->ttl($this->cache->getPrefix().'e'));
        $this->cache->flush();
        $this->assertNull($this->cache->get('a'));
    }
}

# Sessions over HTTP in each of the stores that Rack and Rails applications use: their own tests are in no package.
require "action_dispatch"
require "active_support/test_case"
require "connection_pool"
require "minitest/autorun"
require "rack/session/redis"
require "rack/test"
require "redis-actionpack"

HOUR = 3600

# A counter that a visitor may have, and what applications do with a session besides.
APPLICATION = lambda do |env|
  session = env["rack.session"]
  answer =
    case env["PATH_INFO"]
    when "/count" then session["count"] = (session["count"] || 0) + 1
    when "/look" then session["count"]
    when "/renew"
      env["rack.session.options"][:renew] = true
      session["count"]
    when "/drop" then session.respond_to?(:destroy) ? session.destroy : env["rack.session.options"][:drop] = true
    end
  [200, {"Content-Type" => "text/plain"}, [answer.to_s]]
end

module SessionBehavior
  def self.included(test)
    test.include Rack::Test::Methods
  end

  def setup
    redis.flushdb
  end

  def teardown
    redis.close
  end

  def redis
    @redis ||= Redis.new
  end

  def get_text(path)
    get(path)
    assert_equal 200, last_response.status
    last_response.body
  end

  # The only session that there is.
  def key
    keys = redis.keys("*")
    assert_equal 1, keys.size
    keys.first
  end

  def test_a_browser_keeps_its_session
    assert_equal %w[1 2 3], Array.new(3) { get_text("/count") }
    assert_equal "3", get_text("/look")
    assert_equal 1, redis.dbsize
  end

  def test_another_browser_has_another_session
    get_text("/count")
    clear_cookies
    assert_equal "1", get_text("/count")
    assert_equal 2, redis.dbsize
  end

  def test_a_session_ends_when_its_time_is_over_and_a_request_begins_that_anew
    get_text("/count")
    assert_includes (HOUR - 60)..HOUR, redis.ttl(key)
    redis.expire(key, 60)
    get_text("/count")
    assert_includes (HOUR - 60)..HOUR, redis.ttl(key)
    redis.pexpire(key, 1)
    sleep 0.05
    assert_equal "1", get_text("/count")
  end

  def test_a_renewed_session_has_another_id_and_the_same_content
    get_text("/count")
    before = key
    get_text("/renew")
    refute_equal before, key
    assert_equal "2", get_text("/count")
  end

  def test_a_dropped_session_is_gone
    get_text("/count")
    before = key
    get_text("/drop")
    assert_equal 0, redis.exists(before)
    assert_equal "1", get_text("/count")
  end

  def test_many_browsers_at_once_stay_apart
    application = app
    counts = Array.new(8) do
      Thread.new do
        browser = Rack::Test::Session.new(Rack::MockSession.new(application))
        Array.new(20) { browser.get("/count").body.to_i }
      end
    end
    assert_equal [(1..20).to_a] * 8, counts.map(&:value)
  end
end

class RackSessionRedisTest < ActiveSupport::TestCase
  include SessionBehavior

  def app
    @app ||= Rack::Session::Redis.new(APPLICATION, redis_server: "redis://127.0.0.1:6379/0/rack:session", expire_after: HOUR, pool_size: 5)
  end
end

class ActionDispatchRedisStoreTest < ActiveSupport::TestCase
  include SessionBehavior

  def app
    store = ActionDispatch::Session::RedisStore.new(
      APPLICATION, servers: ["redis://127.0.0.1:6379/0/session"], key: "_shop_session", expire_after: HOUR
    )
    @app ||= ActionDispatch::Cookies.new(store)
  end
end

class ActionDispatchCacheStoreTest < ActiveSupport::TestCase
  include SessionBehavior

  def app
    cache = ActiveSupport::Cache::RedisCacheStore.new(url: "redis://127.0.0.1:6379/0", driver: :ruby, pool_size: 5)
    store = ActionDispatch::Session::CacheStore.new(APPLICATION, cache: cache, key: "_shop_session", expire_after: HOUR)
    @app ||= ActionDispatch::Cookies.new(store)
  end
end

# A Rack application with its sessions in Rails' cache in Redis. That store drops what it cannot write, and tells its error handler only.
require "bundler/setup"
require "action_dispatch"
require "active_support/cache"
require "redis"

failed = lambda do |method:, exception:, **|
  Thread.current[:failed] = "#{method}: #{exception.class}: #{exception.message}"
end
cache = ActiveSupport::Cache::RedisCacheStore.new(url: "redis://127.0.0.1:6379/0", driver: :ruby, pool_size: 8, error_handler: failed)

# An answer that may not be true is no answer.
class FailWithTheStore
  def initialize(app)
    @app = app
  end

  def call(env)
    Thread.current[:failed] = nil
    answer = @app.call(env)
    error = Thread.current[:failed]
    error ? [503, {"Content-Type" => "text/plain"}, [error]] : answer
  end
end

use FailWithTheStore
use ActionDispatch::Cookies
use ActionDispatch::Session::CacheStore, cache: cache, key: "_shop_session", expire_after: 3600

run(lambda do |env|
  session = env["rack.session"]
  if env["REQUEST_METHOD"] == "POST"
    session["number"] = Rack::Request.new(env).GET.fetch("number").to_i
    [200, {"Content-Type" => "text/plain"}, ["saved"]]
  else
    number = session["number"]
    [number ? 200 : 404, {"Content-Type" => "text/plain"}, [number.to_s]]
  end
end)

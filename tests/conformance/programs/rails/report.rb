# Tells what became of the tests in JUnit's XML, in the file HOLDFAST_REPORT, besides what they print. The reporter that Debian has leaves out the classes.
require "minitest"

class Report < Minitest::AbstractReporter
  def initialize
    super
    @cases = []
  end

  def record(result)
    outcome = result.skipped? ? "skipped" : "failure"
    told = result.failures.map { |failure| "<#{outcome} message=#{attribute(failure.message)}/>" }.join
    @cases << "<testcase classname=#{attribute(result.klass)} name=#{attribute(result.name)}>#{told}</testcase>\n"
  end

  def report
    File.write(ENV.fetch("HOLDFAST_REPORT"), "<testsuite>\n#{@cases.join}</testsuite>\n")
  end

  private

  # What XML cannot hold is left out.
  def attribute(text)
    text.encode("UTF-8", invalid: :replace, undef: :replace).scrub.gsub(/[^\t\n\r\u0020-\uD7FF]/, "?").encode(xml: :attr)
  end
end

module Minitest
  def self.plugin_holdfast_init(*)
    reporter << Report.new
  end
end

Minitest.load_plugins
Minitest.extensions << "holdfast"

# frozen_string_literal: true

# The stomp gem with a list of brokers: a program that goes on when its broker dies.
# See ../doc.go, "Failover", for how it talks to the test.

require 'stomp'
require 'timeout'

HOSTS = ENV.fetch('STOMP_HOSTS').split(',').map { |h| h.rpartition(':').values_at(0, 2) }
QUEUE = ENV.fetch('STOMP_QUEUE')
COUNT = Integer(ENV.fetch('STOMP_COUNT'))
PATIENCE = 60 # seconds before a test that hangs gives up

$stdout.sync = true

# Counts the connections that the gem makes by itself.
class Log
  attr_reader :connects

  def initialize
    @connects = 0
  end

  def on_connected(*)
    @connects += 1
  end

  def on_miscerr(*); end # or it prints that it connects again
end

log = Log.new
client = Stomp::Client.new(
  hosts: HOSTS.map { |host, port| { host: host, port: Integer(port), login: '', passcode: '' } },
  connect_headers: { 'accept-version': '1.2', host: 'localhost' },
  reliable: true, initial_reconnect_delay: 0.1, max_reconnect_delay: 0.5, max_reconnect_attempts: 0, logger: log,
  closed_check: false # or its thread that receives ends now and then while the one that sends connects again
)

# Publishes until the receipt came: again after each connection that the gem made anew.
Timeout.timeout(PATIENCE) do
  COUNT.times do |n|
    confirmed = false
    until confirmed
      connection = log.connects
      client.publish(QUEUE, n.to_s, {}) { confirmed = true }
      sleep 0.001 until confirmed || log.connects != connection
    end
    puts "confirmed #{n}"
  end
end

seen = {}
client.subscribe(QUEUE, id: '1', ack: 'client-individual') do |message|
  seen[Integer(message.body)] = true
  client.ack(message)
end
Timeout.timeout(PATIENCE) { sleep 0.01 until seen.size >= COUNT }
raise "received what was not sent: #{seen.keys.sort}" unless seen.keys.sort == (0...COUNT).to_a

puts "received #{COUNT}"
client.close

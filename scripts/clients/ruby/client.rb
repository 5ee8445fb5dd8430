# frozen_string_literal: true

# The stomp gem against TreadMQ: see ../doc.go for how it talks to the test.

require 'stomp'
require 'timeout'

HOST = ENV.fetch('STOMP_HOST')
PORT = Integer(ENV.fetch('STOMP_PORT'))
LOGIN = ENV.fetch('STOMP_LOGIN')
PASSCODE = ENV.fetch('STOMP_PASSCODE')
PATIENCE = 30 # seconds before a step that hangs gives up

$stdout.sync = true

# Asks the test for something and waits until it is done.
def ask(line)
  puts line
  raise "the test gave up on: #{line}" unless $stdin.gets == "done\n"
end

def equal(what, got, want)
  raise "#{what} is #{got.inspect}, not #{want.inspect}" unless got == want
end

# What the gem tells a program that wants to know.
class Log
  attr_reader :hbread_fails

  def initialize
    @hbread_fails = 0
  end

  def on_hbread_fail(*)
    @hbread_fails += 1
  end

  def on_miscerr(*); end # or it prints that it connects again
end

# A connection of the gem with the usual waits built in.
class Session
  attr_reader :conn, :log

  def self.open(**options)
    session = new(**options)
    yield session
    session.close
  end

  def initialize(version: '1.2', passcode: PASSCODE, beat: '0,0', ssl: false, client_id: nil, **options)
    @log = Log.new
    @inbox = []
    @receipts = 0
    @conn = Stomp::Connection.new(
      hosts: [{ login: LOGIN, passcode: passcode, host: HOST, port: PORT, ssl: ssl }],
      connect_headers: { 'accept-version': version, host: 'localhost', 'heart-beat': beat, 'client-id': client_id }.compact,
      reliable: false, logger: @log, parse_timeout: PATIENCE, **options
    )
  end

  def close
    @conn.disconnect(receipt: 'bye')
    equal('receipt of DISCONNECT', @conn.disconnect_receipt&.headers&.fetch('receipt-id'), 'bye')
  end

  # Yields a receipt id, and waits for it; messages that come meanwhile are kept.
  def receipt
    id = "r-#{@receipts += 1}"
    yield id
    Timeout.timeout(PATIENCE) do
      loop do
        frame = receive
        raise "ERROR: #{frame.headers} #{frame.body}" if frame.command == 'ERROR'
        break equal('receipt', frame.headers['receipt-id'], id) if frame.command == 'RECEIPT'

        @inbox << frame
      end
    end
  end

  def message
    return @inbox.shift unless @inbox.empty?

    Timeout.timeout(PATIENCE) { receive }.tap { |m| equal('command', m.command, 'MESSAGE') }
  end

  def send(dest, body, headers = {})
    receipt { |id| @conn.publish(dest, body, headers.merge(receipt: id)) }
  end

  def subscribe(dest, ack = 'auto', headers = {})
    receipt { |id| @conn.subscribe(dest, { id: dest, ack: ack, receipt: id }.merge(headers)) }
  end

  # Acknowledges in the way of the connection's version.
  def ack(message, headers = {})
    receipt { |id| @conn.ack(*about(message, headers.merge(receipt: id))) }
  end

  def nack(message, headers = {})
    receipt { |id| @conn.nack(*about(message, headers.merge(receipt: id))) }
  end

  private

  def receive
    @conn.receive || raise('the connection ended')
  end

  def about(message, headers)
    h = message.headers
    return [h['ack'], headers] if @conn.protocol == Stomp::SPL_12

    [h['message-id'], headers.merge(subscription: h['subscription'])]
  end
end

def three(session, queue, mode)
  session.subscribe(queue, mode)
  %w[one two three].each { |body| session.send(queue, body) }
  %w[one two three].map { |body| session.message.tap { |m| equal('body', m.body, body) } }
end

# Consumes from one queue and sends to another in a transaction that the block ends.
def transact(name)
  Session.open do |s|
    s.subscribe('/queue/ruby.tx.in', 'client-individual')
    s.send('/queue/ruby.tx.in', 'work')
    m = s.message
    s.conn.begin(name)
    2.times { |i| s.conn.publish('/queue/ruby.tx.out', "result #{i}", transaction: name) }
    s.ack(m, transaction: name)
    yield s, m
  end
end

# A message of the session's own comes next, and not something else.
def nothing_else(session, what)
  session.subscribe("/queue/ruby.barrier.#{what}")
  session.send("/queue/ruby.barrier.#{what}", 'barrier')
  equal("next message of #{what}", session.message.body, 'barrier')
end

# The gem connects again by itself and repeats its subscriptions.
def reconnect(how)
  Session.open(reliable: true, initial_reconnect_delay: 0.05) do |s|
    s.subscribe('/queue/ruby.restart', 'client-individual')
    s.send('/queue/ruby.restart', how)
    s.message
    ask("restart #{how}")
    # What comes first is the ERROR of an orderly stop, or the RECEIPT of the repeated SUBSCRIBE, or the message.
    m = nil
    Timeout.timeout(PATIENCE) { m = s.conn.receive until m&.command == 'MESSAGE' }
    equal('message', [m.body, m.headers['redelivered']], [how, 'true'])
    s.conn.ack(m.headers['ack'])
  end
  ask('count ruby.restart 0')
end

STEPS = {
  'login' => -> { Session.open { |s| equal('version', s.conn.protocol, '1.2') } },

  'login-refused' => lambda {
    begin
      s = Session.new(passcode: 'wrong')
      equal('answer', s.conn.connection_frame.command, 'ERROR')
    rescue Stomp::Error::ProtocolErrorConnect, Stomp::Error::NoCurrentConnection
      next
    end
  },

  'send-receipt' => lambda {
    Session.open { |s| s.send('/queue/ruby.send', 'hello') }
    ask('count ruby.send 1')
  },

  'subscribe-auto' => lambda {
    Session.open do |s|
      s.subscribe('/queue/ruby.send')
      m = s.message
      equal('message', [m.body, m.headers['destination']], ['hello', '/queue/ruby.send'])
    end
    ask('count ruby.send 0')
  },

  'ack-client' => lambda {
    Session.open { |s| s.ack(three(s, '/queue/ruby.client', 'client')[1]) }
    ask('count ruby.client 1')
  },

  'redelivery' => lambda {
    Session.open do |s|
      s.subscribe('/queue/ruby.client', 'client')
      m = s.message
      equal('message', [m.body, m.headers['redelivered']], %w[three true])
      s.ack(m)
    end
    ask('count ruby.client 0')
  },

  'ack-individual' => lambda {
    Session.open { |s| s.ack(three(s, '/queue/ruby.individual', 'client-individual')[1]) }
    ask('count ruby.individual 2')
    Session.open do |s|
      s.subscribe('/queue/ruby.individual', 'client-individual')
      %w[one three].each do |body|
        m = s.message
        equal('message', [m.body, m.headers['redelivered']], [body, 'true'])
        s.ack(m)
      end
    end
    ask('count ruby.individual 0')
  },

  'nack' => lambda {
    Session.open do |s|
      s.subscribe('/queue/ruby.nack', 'client-individual')
      s.send('/queue/ruby.nack', 'again')
      first = s.message
      s.nack(first)
      second = s.message
      equal('message-id', second.headers['message-id'], first.headers['message-id'])
      equal('redelivered', second.headers['redelivered'], 'true')
      s.ack(second)
    end
    ask('count ruby.nack 0')
  },

  # The gem's own retry: ACK and a new SEND with all headers it got, in one transaction.
  'unreceive' => lambda {
    Session.open(version: '1.0') do |s|
      s.subscribe('/queue/ruby.unreceive', 'client')
      s.send('/queue/ruby.unreceive', 'once more', persistent: true)
      s.conn.unreceive(s.message, force_client_ack: true)
      m = s.message
      equal('message', [m.body, m.headers['retry_count']], ['once more', '1'])
      s.ack(m)
    end
    ask('count ruby.unreceive 0')
  },

  'transaction-commit' => lambda {
    transact('tx-1') do |s, _|
      ask('count ruby.tx.out 0')
      ask('count ruby.tx.in 1')
      s.receipt { |id| s.conn.commit('tx-1', receipt: id) }
    end
    ask('count ruby.tx.out 2')
    ask('count ruby.tx.in 0')
  },

  'transaction-abort' => lambda {
    transact('tx-2') do |s, m|
      s.receipt { |id| s.conn.abort('tx-2', receipt: id) }
      ask('count ruby.tx.out 2')
      ask('count ruby.tx.in 1')
      s.ack(m)
    end
    ask('count ruby.tx.in 0')
  },

  'binary' => lambda {
    body = ((0..255).to_a * 40 + [0, 0]).pack('C*')
    Session.open do |s|
      s.subscribe('/queue/ruby.binary')
      s.send('/queue/ruby.binary', body)
      equal('body', s.message.body.b, body)
    end
  },

  # The gem mistakes an escaped backslash before n or c.
  'utf8' => lambda {
    value = "Grüße: 日本 \\ 🎉\nnext line"
    Session.open do |s|
      s.subscribe('/queue/ruby.ütf8')
      s.send('/queue/ruby.ütf8', 'Wörld 🌍', 'schlüssel' => value, 'a:b' => ' x ')
      m = s.message
      equal('body', m.body.dup.force_encoding('UTF-8'), 'Wörld 🌍')
      equal('header', m.headers['schlüssel'], value)
      equal('header with a colon', m.headers['a:b'], ' x ')
    end
  },

  'topic' => lambda {
    Session.open do |one|
      Session.open do |two|
        one.subscribe('/topic/ruby.news.*')
        two.subscribe('/topic/ruby.news.>')
        one.send('/topic/ruby.news.today', 'extra')
        [one, two].each { |s| equal('body', s.message.body, 'extra') }
      end
    end
  },

  'heart-beat' => lambda {
    Session.open(beat: '1000,1000') do |s|
      s.subscribe('/queue/ruby.beat')
      # The idle pause: a read that ends by itself, as the gem looks for the broker's heart-beats only while it reads.
      begin
        Timeout.timeout(5) { s.conn.receive }
        raise 'something came in the idle pause'
      rescue Timeout::Error
        equal('heart-beats missed', s.log.hbread_fails, 0)
      end
      raise 'the gem sent no heart-beats' if s.conn.hbsend_count.zero?

      s.send('/queue/ruby.beat', 'still here')
      equal('body', s.message.body, 'still here')
    end
  },

  'reconnect-term' => -> { reconnect('term') },
  'reconnect-kill' => -> { reconnect('kill') },

  'tls' => lambda {
    Session.open(ssl: Stomp::SSLParams.new(ts_files: ENV.fetch('STOMP_CA'))) do |s|
      s.send('/queue/ruby.tls', 'sealed')
    end
    ask('count ruby.tls 1')
  },

  'versions' => lambda {
    %w[1.1 1.0].each do |version|
      Session.open(version: version) do |s|
        equal('version', s.conn.protocol, version)
        s.ack(three(s, '/queue/ruby.versions', 'client')[2])
      end
      ask('count ruby.versions 0')
    end
  },

  'amq-priority' => lambda {
    Session.open do |low|
      Session.open do |high|
        low.subscribe('/queue/ruby.priority', 'auto', 'activemq.priority': '1')
        high.subscribe('/queue/ruby.priority', 'auto', 'activemq.priority': '10', 'activemq.dispatchAsync': 'true')
        %w[a b c].each { |body| low.send('/queue/ruby.priority', body) }
        %w[a b c].each { |body| equal('body', high.message.body, body) }
        nothing_else(low, 'low')
      end
    end
  },

  'amq-exclusive' => lambda {
    Session.open do |second|
      Session.open do |first|
        [first, second].each { |s| s.subscribe('/queue/ruby.exclusive', 'client', 'activemq.exclusive': 'true') }
        second.send('/queue/ruby.exclusive', 'a')
        first.ack(first.message)
        nothing_else(second, 'second')
      end
      second.send('/queue/ruby.exclusive', 'b')
      equal('message after the hand-over', second.message.body, 'b')
    end
  },

  'amq-selector' => lambda {
    Session.open do |s|
      s.subscribe('/queue/ruby.selector', 'auto', selector: "colour LIKE 'bl%' OR weight BETWEEN 2 AND 3")
      { 'blue' => '1', 'red' => '2.5', 'green' => '7', 'black' => '9' }.each do |colour, weight|
        s.send('/queue/ruby.selector', colour, colour: colour, weight: weight)
      end
      %w[blue red black].each { |body| equal('body', s.message.body, body) }
    end
    ask('count ruby.selector 1')
  },

  'amq-browser' => lambda {
    Session.open do |s|
      %w[a b c].each { |body| s.send('/queue/ruby.browse', body) }
      s.subscribe('/queue/ruby.browse', 'auto', browser: 'true')
      %w[a b c].each { |body| equal('body', s.message.body, body) }
      equal('end of browsing', s.message.headers['browser'], 'end')
    end
    ask('count ruby.browse 3')
  },

  'amq-no-local' => lambda {
    Session.open do |one|
      Session.open do |two|
        one.subscribe('/topic/ruby.local', 'auto', 'activemq.noLocal': 'true', 'activemq.maximumPendingMessageLimit': '10')
        one.send('/topic/ruby.local', 'own')
        two.send('/topic/ruby.local', 'other')
        equal('body', one.message.body, 'other')
      end
    end
  },

  'amq-durable' => lambda {
    durable = { 'activemq.subscriptionName': 'audit' }
    Session.open(client_id: 'ruby') { |s| s.subscribe('/topic/ruby.durable', 'auto', durable) }
    Session.open { |s| %w[one two].each { |body| s.send('/topic/ruby.durable', body) } }
    Session.open(client_id: 'ruby') do |s|
      s.subscribe('/topic/ruby.durable', 'auto', durable)
      %w[one two].each { |body| equal('body', s.message.body, body) }
      s.receipt { |id| s.conn.unsubscribe('/topic/ruby.durable', { id: '/topic/ruby.durable', receipt: id }.merge(durable)) }
      s.send('/topic/ruby.durable', 'three')
    end
    Session.open(client_id: 'ruby') do |s|
      s.subscribe('/topic/ruby.durable', 'auto', durable)
      nothing_else(s, 'removed')
    end
  },

  'amq-scheduled' => lambda {
    Session.open do |s|
      s.subscribe('/queue/ruby.scheduled')
      s.send('/queue/ruby.scheduled', 'later', 'AMQ_SCHEDULED_DELAY': '300')
      s.send('/queue/ruby.scheduled', 'now')
      %w[now later].each { |body| equal('body', s.message.body, body) }
    end
  },

  'amq-groups' => lambda {
    Session.open do |one|
      Session.open do |two|
        both = [one, two]
        both.each { |s| s.subscribe('/queue/ruby.groups', 'client') }
        6.times { |i| one.send('/queue/ruby.groups', i.to_s, 'JMSXGroupID': %w[A B][i % 2]) }
        got = both.map { |s| Array.new(3) { s.message } }
        got.each { |list| equal('groups of a consumer', list.map { |m| m.headers['JMSXGroupID'] }.uniq.size, 1) }
        equal('order', got.map { |list| list.map(&:body) }.sort, [%w[0 2 4], %w[1 3 5]])
        both.zip(got) { |s, list| s.ack(list.last) }
      end
    end
  },

  # Header lines that end in CR LF, and STOMP in the place of CONNECT.
  'crlf' => lambda {
    Session.open(usecrlf: true, stompconn: true) do |s|
      s.subscribe('/queue/ruby.crlf')
      s.send('/queue/ruby.crlf', "line\r\nline", key: 'value')
      m = s.message
      equal('message', [m.body, m.headers['key']], ["line\r\nline", 'value'])
    end
  }
}.freeze

STEPS.each do |name, step|
  step.call
  puts "ok #{name}"
rescue StandardError => e
  warn "#{name}: #{e.full_message(highlight: false)}"
  exit 1
end
puts 'done'

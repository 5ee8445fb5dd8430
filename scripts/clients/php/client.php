<?php
// PHP's stomp extension against TreadMQ: see ../doc.go for how it talks to the test. It speaks STOMP 1.0, and escapes
// nothing; given the headers of 1.1 it can NACK, and be sent heart-beats. It sends none of its own accord.

declare(strict_types=1);

const PATIENCE = 30; // seconds before a step that hangs gives up

/** Asks the test for something and waits until it is done. */
function ask(string $line): void
{
    echo $line, "\n";
    if (fgets(STDIN) !== "done\n") {
        throw new RuntimeException("the test gave up on: $line");
    }
}

function equal(string $what, mixed $got, mixed $want): void
{
    if ($got !== $want) {
        throw new RuntimeException("$what is " . var_export($got, true) . ', not ' . var_export($want, true));
    }
}

function connect(?string $passcode = null, array $headers = []): Stomp
{
    $uri = sprintf('tcp://%s:%s', getenv('STOMP_HOST'), getenv('STOMP_PORT'));
    $stomp = new Stomp($uri, getenv('STOMP_LOGIN'), $passcode ?? getenv('STOMP_PASSCODE'), $headers);
    $stomp->setReadTimeout(PATIENCE);
    return $stomp;
}

/** Sends and waits for the receipt, which the extension does when it is given one. */
function send(Stomp $stomp, string $dest, string $body, array $headers = []): void
{
    static $n = 0;
    equal('receipt', $stomp->send($dest, $body, $headers + ['receipt' => 'r-' . ++$n]), true);
}

function subscribe(Stomp $stomp, string $dest, string $ack = 'auto', array $headers = []): void
{
    equal('receipt of SUBSCRIBE', $stomp->subscribe($dest, $headers + ['ack' => $ack, 'receipt' => "sub-$dest"]), true);
}

function message(Stomp $stomp): StompFrame
{
    $frame = $stomp->readFrame();
    if ($frame === false || $frame->command !== 'MESSAGE') {
        throw new RuntimeException('no message came, but ' . var_export($frame, true));
    }
    return $frame;
}

function ack(Stomp $stomp, StompFrame $frame, array $headers = []): void
{
    equal('receipt of ACK', $stomp->ack($frame, $headers + ['receipt' => 'ack-' . $frame->headers['message-id']]), true);
}

function three(Stomp $stomp, string $queue): array
{
    subscribe($stomp, $queue, 'client');
    $sender = connect(); // the extension has no place for messages that come before a receipt
    foreach (['one', 'two', 'three'] as $body) {
        send($sender, $queue, $body);
    }
    $list = [];
    foreach (['one', 'two', 'three'] as $body) {
        $list[] = $frame = message($stomp);
        equal('body', $frame->body, $body);
    }
    return $list;
}

/** A connection that speaks 1.1, with a subscription that acknowledges each message by itself. */
function individual(string $queue, array $headers = []): Stomp
{
    $stomp = connect(null, ['accept-version' => '1.1'] + $headers);
    subscribe($stomp, $queue, 'client-individual', ['id' => '1']);
    return $stomp;
}

/** Consumes from one queue and sends to another in a transaction; the message that is consumed. */
function transact(Stomp $stomp, string $tx): StompFrame
{
    send($stomp, '/queue/php.tx.in', 'work');
    subscribe($stomp, '/queue/php.tx.in', 'client');
    $frame = message($stomp);
    equal('BEGIN', $stomp->begin($tx), true);
    foreach (['result 1', 'result 2'] as $body) {
        send($stomp, '/queue/php.tx.out', $body, ['transaction' => $tx]);
    }
    ack($stomp, $frame, ['transaction' => $tx]);
    return $frame;
}

/** A message of the connection's own comes next, and not something else. */
function nothingElse(Stomp $stomp, string $what): void
{
    subscribe($stomp, "/queue/php.barrier.$what");
    send(connect(), "/queue/php.barrier.$what", 'barrier');
    equal("next message of $what", message($stomp)->body, 'barrier');
}

function reconnect(string $how): void
{
    $stomp = connect();
    send($stomp, '/queue/php.restart', $how);
    subscribe($stomp, '/queue/php.restart', 'client');
    message($stomp);
    ask("restart $how");
    try {
        if ($stomp->readFrame() !== false) {
            throw new RuntimeException('a frame came from the dead');
        }
    } catch (StompException) {
        // it noticed: the ERROR of an orderly stop, or the end
    }
    $stomp = connect();
    subscribe($stomp, '/queue/php.restart', 'client');
    $frame = message($stomp);
    equal('message', [$frame->body, $frame->headers['redelivered'] ?? null], [$how, 'true']);
    ack($stomp, $frame);
    ask('count php.restart 0');
}

$steps = [
    'login' => function (): void {
        equal('session id is there', connect()->getSessionId() !== '', true);
    },
    'login-refused' => function (): void {
        try {
            connect('wrong');
        } catch (StompException) {
            return;
        }
        throw new RuntimeException('a wrong passcode was accepted');
    },
    'send-receipt' => function (): void {
        send(connect(), '/queue/php.send', 'hello');
        ask('count php.send 1');
    },
    'subscribe-auto' => function (): void {
        $stomp = connect();
        subscribe($stomp, '/queue/php.send');
        $frame = message($stomp);
        equal('message', [$frame->body, $frame->headers['destination']], ['hello', '/queue/php.send']);
        ask('count php.send 0');
    },
    'ack-client' => function (): void {
        $stomp = connect();
        ack($stomp, three($stomp, '/queue/php.client')[1]);
        unset($stomp);
        ask('count php.client 1');
    },
    'redelivery' => function (): void {
        $stomp = connect();
        subscribe($stomp, '/queue/php.client', 'client');
        $frame = message($stomp);
        equal('message', [$frame->body, $frame->headers['redelivered'] ?? null], ['three', 'true']);
        ack($stomp, $frame);
        ask('count php.client 0');
    },
    'ack-individual' => function (): void {
        $stomp = individual('/queue/php.individual');
        $sender = connect();
        foreach (['one', 'two', 'three'] as $body) {
            send($sender, '/queue/php.individual', $body);
        }
        $frames = [message($stomp), message($stomp), message($stomp)];
        ack($stomp, $frames[1], ['subscription' => '1']);
        unset($stomp);
        ask('count php.individual 2');
        $stomp = individual('/queue/php.individual');
        foreach (['one', 'three'] as $body) {
            $frame = message($stomp);
            equal('message', [$frame->body, $frame->headers['redelivered'] ?? null], [$body, 'true']);
            ack($stomp, $frame, ['subscription' => '1']);
        }
        ask('count php.individual 0');
    },
    'nack' => function (): void {
        $stomp = individual('/queue/php.nack');
        send(connect(), '/queue/php.nack', 'again');
        $first = message($stomp);
        equal('receipt of NACK', $stomp->nack($first, ['subscription' => '1', 'receipt' => 'nacked']), true);
        $second = message($stomp);
        equal(
            'message',
            [$second->body, $second->headers['message-id'], $second->headers['redelivered'] ?? null],
            ['again', $first->headers['message-id'], 'true'],
        );
        ack($stomp, $second, ['subscription' => '1']);
        ask('count php.nack 0');
    },
    // A beat is something to read that is no frame. Every frame counts as one of ours.
    'heart-beat' => function (): void {
        $stomp = individual('/queue/php.beat', ['heart-beat' => '1000,1000']);
        $stomp->setReadTimeout(2);
        for ($beats = 0; $beats < 6; $beats++) { // the idle pause
            $began = microtime(true);
            while (!$stomp->hasFrame()) {
                equal('beat within the patience', microtime(true) - $began < PATIENCE, true);
                usleep(20000);
            }
            equal('frame in the pause', $stomp->readFrame(), false);
            $stomp->send('/topic/php.nobody', 'beat');
        }
        send(connect(), '/queue/php.beat', 'still here');
        while (($frame = $stomp->readFrame()) === false) {
            equal('error', $stomp->error(), false);
        }
        equal('body', $frame->body, 'still here');
        $stomp->setReadTimeout(PATIENCE);
        ack($stomp, $frame, ['subscription' => '1']);
        try {
            while ($stomp->readFrame() === false) { // beats, and nothing more from us
            }
        } catch (StompException $failure) {
            equal('what the silent get', $failure->getMessage(), 'no heart-beat');
            return;
        }
        throw new RuntimeException('a frame came for the silent, and no ERROR');
    },
    // PHP programs ask for one message at a time.
    'prefetch' => function (): void {
        $sender = connect();
        foreach (range(1, 100) as $i) {
            send($sender, '/queue/php.prefetch', "m$i");
        }
        $stomp = connect();
        subscribe($stomp, '/queue/php.prefetch', 'client', ['activemq.prefetchSize' => '1']);
        foreach (range(1, 100) as $i) {
            $frame = message($stomp);
            equal('body', $frame->body, "m$i");
            $stomp->ack($frame);
        }
        unset($stomp);
        ask('count php.prefetch 0');
    },
    'transaction-commit' => function (): void {
        $stomp = connect();
        transact($stomp, 'tx-1');
        ask('count php.tx.out 0');
        ask('count php.tx.in 1');
        equal('COMMIT', $stomp->commit('tx-1', ['receipt' => 'commit']), true);
        ask('count php.tx.out 2');
        ask('count php.tx.in 0');
    },
    'transaction-abort' => function (): void {
        $stomp = connect();
        $frame = transact($stomp, 'tx-2');
        equal('ABORT', $stomp->abort('tx-2', ['receipt' => 'abort']), true);
        ask('count php.tx.out 2');
        ask('count php.tx.in 1');
        ack($stomp, $frame);
        ask('count php.tx.in 0');
    },
    'binary' => function (): void {
        $body = str_repeat(implode('', array_map('chr', range(0, 255))), 40) . "\0\0";
        $stomp = connect();
        send($stomp, '/queue/php.binary', $body, ['content-length' => (string) strlen($body)]);
        subscribe($stomp, '/queue/php.binary');
        equal('body as sent', message($stomp)->body === $body, true);
    },
    'utf8' => function (): void {
        $stomp = connect();
        send($stomp, '/queue/php.ütf8', 'Wörld 🌍', ['schlüssel' => 'Grüße: 日本\\n 🎉']);
        subscribe($stomp, '/queue/php.ütf8');
        $frame = message($stomp);
        equal('message', [$frame->body, $frame->headers['schlüssel']], ['Wörld 🌍', 'Grüße: 日本\\n 🎉']);
    },
    'topic' => function (): void {
        $subscribers = [connect(), connect()];
        foreach ($subscribers as $stomp) {
            subscribe($stomp, '/topic/php.news.>');
        }
        send(connect(), '/topic/php.news.today', 'extra');
        foreach ($subscribers as $stomp) {
            equal('body', message($stomp)->body, 'extra');
        }
    },
    'amq-priority' => function (): void {
        $low = connect();
        subscribe($low, '/queue/php.priority', 'auto', ['activemq.priority' => '1']);
        $high = connect();
        subscribe($high, '/queue/php.priority', 'auto', ['activemq.priority' => '10', 'activemq.dispatchAsync' => 'true']);
        $sender = connect();
        foreach (['a', 'b', 'c'] as $body) {
            send($sender, '/queue/php.priority', $body);
        }
        foreach (['a', 'b', 'c'] as $body) {
            equal('body', message($high)->body, $body);
        }
        nothingElse($low, 'low');
    },
    'amq-exclusive' => function (): void {
        $first = connect();
        $second = connect();
        foreach ([$first, $second] as $stomp) {
            subscribe($stomp, '/queue/php.exclusive', 'client', ['activemq.exclusive' => 'true']);
        }
        $sender = connect();
        send($sender, '/queue/php.exclusive', 'a');
        ack($first, message($first));
        nothingElse($second, 'second');
        unset($first, $stomp);
        send($sender, '/queue/php.exclusive', 'b');
        equal('message after the hand-over', message($second)->body, 'b');
    },
    'amq-selector' => function (): void {
        $stomp = connect();
        subscribe($stomp, '/queue/php.selector', 'auto', ['selector' => "colour IN ('blue', 'red') AND weight IS NOT NULL"]);
        $sender = connect();
        send($sender, '/queue/php.selector', 'green', ['colour' => 'green', 'weight' => '1']);
        send($sender, '/queue/php.selector', 'light', ['colour' => 'blue']);
        send($sender, '/queue/php.selector', 'red', ['colour' => 'red', 'weight' => '1']);
        equal('body', message($stomp)->body, 'red');
        ask('count php.selector 2');
    },
    'amq-browser' => function (): void {
        $sender = connect();
        foreach (['a', 'b'] as $body) {
            send($sender, '/queue/php.browse', $body);
        }
        $stomp = connect();
        subscribe($stomp, '/queue/php.browse', 'auto', ['browser' => 'true']);
        foreach (['a', 'b'] as $body) {
            equal('body', message($stomp)->body, $body);
        }
        equal('end of browsing', message($stomp)->headers['browser'], 'end');
        ask('count php.browse 2');
    },
    'amq-no-local' => function (): void {
        $stomp = connect();
        subscribe($stomp, '/topic/php.local', 'auto', ['activemq.noLocal' => 'true', 'activemq.maximumPendingMessageLimit' => '10']);
        send($stomp, '/topic/php.local', 'own');
        send(connect(), '/topic/php.local', 'other');
        equal('body', message($stomp)->body, 'other');
    },
    'amq-durable' => function (): void {
        $durable = ['activemq.subscriptionName' => 'audit'];
        $stomp = connect(null, ['client-id' => 'php']);
        subscribe($stomp, '/topic/php.durable', 'auto', $durable);
        unset($stomp);
        $sender = connect();
        foreach (['one', 'two'] as $body) {
            send($sender, '/topic/php.durable', $body);
        }
        $stomp = connect(null, ['client-id' => 'php']);
        subscribe($stomp, '/topic/php.durable', 'auto', $durable);
        foreach (['one', 'two'] as $body) {
            equal('body', message($stomp)->body, $body);
        }
        equal('receipt of UNSUBSCRIBE', $stomp->unsubscribe('/topic/php.durable', $durable + ['receipt' => 'gone']), true);
        send($sender, '/topic/php.durable', 'three');
        subscribe($stomp, '/topic/php.durable', 'auto', $durable);
        nothingElse($stomp, 'removed');
    },
    'amq-scheduled' => function (): void {
        $stomp = connect();
        subscribe($stomp, '/queue/php.scheduled');
        $sender = connect();
        send($sender, '/queue/php.scheduled', 'later', ['AMQ_SCHEDULED_DELAY' => '300']);
        send($sender, '/queue/php.scheduled', 'now');
        foreach (['now', 'later'] as $body) {
            equal('body', message($stomp)->body, $body);
        }
    },
    'amq-groups' => function (): void {
        $consumers = [connect(), connect()];
        foreach ($consumers as $stomp) {
            subscribe($stomp, '/queue/php.groups', 'client', ['activemq.prefetchSize' => '10']);
        }
        $sender = connect();
        foreach (range(0, 5) as $i) {
            send($sender, '/queue/php.groups', "m$i", ['JMSXGroupID' => 'AB'[$i % 2]]);
        }
        foreach ($consumers as $stomp) {
            $group = null;
            foreach ([0, 2, 4] as $i) {
                $frame = message($stomp);
                $group ??= $frame->headers['JMSXGroupID'];
                equal('message', [$frame->headers['JMSXGroupID'], $frame->body], [$group, 'm' . ($group === 'A' ? $i : $i + 1)]);
            }
        }
    },
    'reconnect-term' => fn () => reconnect('term'),
    'reconnect-kill' => fn () => reconnect('kill'),
];

foreach ($steps as $name => $step) {
    try {
        $step();
    } catch (Throwable $failure) {
        fwrite(STDERR, "$name: $failure\n");
        exit(1);
    }
    echo "ok $name\n";
}
echo "done\n";

#!/usr/bin/perl
# Net::Stomp against TreadMQ: see ../doc.go for how it talks to the test. It
# escapes nothing and trims what it reads; by what it is given to CONNECT it
# speaks 1.0 or, here, whatever the headers of its frames add up to. It sends no
# heart-beats by itself, but gives programs its socket.

use strict;
use warnings;
use utf8;
use Encode qw(encode);
use IO::Select;
use Net::Stomp;

my $patience = 30;    # seconds before a step that hangs gives up

binmode STDOUT, ':encoding(UTF-8)';
$| = 1;

# Asks the test for something and waits until it is done.
sub ask {
    my ($line) = @_;
    print "$line\n";
    ( <STDIN> // '' ) eq "done\n" or die "the test gave up on: $line\n";
}

sub equal {
    my ( $what, $got, $want ) = @_;
    die "$what is '" . ( $got // 'undef' ) . "', not '$want'\n" if !defined $got || $got ne $want;
}

sub connected {
    my (%headers) = @_;
    my $stomp = Net::Stomp->new(
        {
            hostname => $ENV{STOMP_HOST}, port => $ENV{STOMP_PORT},
            timeout => $patience, reconnect_attempts => 100, connect_delay => 0.05,
        }
    );
    my $frame = $stomp->connect( { login => $ENV{STOMP_LOGIN}, passcode => $ENV{STOMP_PASSCODE}, %headers } );
    equal( 'answer to CONNECT', $frame && $frame->command, 'CONNECTED' );
    return $stomp;
}

sub transmit {
    my ( $stomp, $dest, $body, %headers ) = @_;
    $stomp->send_with_receipt( { destination => $dest, body => $body, %headers } )
      or die "no receipt came for $body\n";
}

# Waits for the next frame, which must be of a kind.
sub frame {
    my ( $stomp, $command ) = @_;
    my $frame = $stomp->receive_frame or die "no frame came\n";
    equal( 'command', $frame->command, $command );
    return $frame;
}

sub message {
    my ( $stomp, $body, $redelivered ) = @_;
    my $frame = frame( $stomp, 'MESSAGE' );
    equal( 'body', $frame->body, $body );
    equal( "redelivered of $body", $frame->headers->{redelivered} // 'false', $redelivered // 'false' );
    return $frame;
}

sub subscribe {
    my ( $stomp, $dest, %headers ) = @_;
    $stomp->subscribe( { destination => $dest, id => 'sub', receipt => 'subscribed', %headers } );
    frame( $stomp, 'RECEIPT' );
}

sub ack {
    my ( $stomp, $frame, %headers ) = @_;
    $stomp->ack( { frame => $frame, receipt => 'acked', %headers } );
    frame( $stomp, 'RECEIPT' );
}

# Net::Stomp has no method for BEGIN, COMMIT and ABORT, but lets programs make frames.
sub command {
    my ( $stomp, $command, %headers ) = @_;
    $stomp->send_frame( Net::Stomp::Frame->new( { command => $command, headers => { receipt => $command, %headers } } ) );
    frame( $stomp, 'RECEIPT' );
}

sub three {
    my ( $stomp, $queue, %headers ) = @_;
    transmit( $stomp, $queue, $_ ) for qw(one two three);
    subscribe( $stomp, $queue, %headers );
    return map { message( $stomp, $_ ) } qw(one two three);
}

# Consumes from one queue and sends to another in a transaction.
sub transact {
    my ( $stomp, $tx ) = @_;
    transmit( $stomp, '/queue/perl.tx.in', 'work' );
    subscribe( $stomp, '/queue/perl.tx.in', ack => 'client' );
    my $frame = message( $stomp, 'work' );
    command( $stomp, 'BEGIN', transaction => $tx );
    transmit( $stomp, '/queue/perl.tx.out', $_, transaction => $tx ) for 'result 1', 'result 2';
    ack( $stomp, $frame, transaction => $tx );
    return $frame;
}

# Net::Stomp connects again when it next writes, and repeats its subscriptions.
sub reconnect {
    my ($how) = @_;
    my $stomp = connected();
    transmit( $stomp, '/queue/perl.restart', $how );
    subscribe( $stomp, '/queue/perl.restart', ack => 'client' );
    message( $stomp, $how );
    ask("restart $how");
    while ( my $frame = $stomp->receive_frame ) {    # up to the end: perhaps an ERROR
        equal( 'last frame', $frame->command, 'ERROR' );
    }
    $stomp->send( { destination => '/topic/perl.nobody', body => '' } );
    frame( $stomp, 'RECEIPT' );                       # of the repeated SUBSCRIBE
    ack( $stomp, message( $stomp, $how, 'true' ) );
    ask('count perl.restart 0');
}

my @steps = (
    'login' => sub { connected()->disconnect },
    'login-refused' => sub {
        my $stomp = Net::Stomp->new( { hostname => $ENV{STOMP_HOST}, port => $ENV{STOMP_PORT}, timeout => $patience } );
        equal( 'answer', $stomp->connect( { login => $ENV{STOMP_LOGIN}, passcode => 'wrong' } )->command, 'ERROR' );
    },
    'send-receipt' => sub {
        transmit( connected(), '/queue/perl.send', 'hello' );
        ask('count perl.send 1');
    },
    'send-transactional' => sub {
        my $stomp = connected();
        $stomp->send_transactional( { destination => '/queue/perl.sendtx', body => 'hello', persistent => 'true' } )
          or die "no receipt came\n";
        ask('count perl.sendtx 1');
    },
    'subscribe-auto' => sub {
        my $stomp = connected();
        subscribe( $stomp, '/queue/perl.send' );
        equal( 'destination', message( $stomp, 'hello' )->headers->{destination}, '/queue/perl.send' );
        ask('count perl.send 0');
    },
    'ack-client' => sub {
        my $stomp = connected();
        ack( $stomp, ( three( $stomp, '/queue/perl.client', ack => 'client' ) )[1] );
        $stomp->disconnect;
        ask('count perl.client 1');
    },
    'redelivery' => sub {
        my $stomp = connected();
        subscribe( $stomp, '/queue/perl.client', ack => 'client' );
        ack( $stomp, message( $stomp, 'three', 'true' ) );
        ask('count perl.client 0');
    },
    'ack-individual' => sub {
        my $stomp = connected( 'accept-version' => '1.1' );
        my %mode = ( ack => 'client-individual' );
        ack( $stomp, ( three( $stomp, '/queue/perl.individual', %mode ) )[1], subscription => 'sub' );
        $stomp->disconnect;
        ask('count perl.individual 2');
        $stomp = connected( 'accept-version' => '1.1' );
        subscribe( $stomp, '/queue/perl.individual', %mode );
        my @again = map { message( $stomp, $_, 'true' ) } qw(one three);
        ack( $stomp, $_, subscription => 'sub' ) for @again;
        ask('count perl.individual 0');
    },
    'nack' => sub {
        my $stomp = connected( 'accept-version' => '1.1' );
        transmit( $stomp, '/queue/perl.nack', 'again' );
        subscribe( $stomp, '/queue/perl.nack', ack => 'client-individual' );
        my $first = message( $stomp, 'again' );
        $stomp->nack( { frame => $first, subscription => 'sub', receipt => 'nacked' } );
        frame( $stomp, 'RECEIPT' );
        my $second = message( $stomp, 'again', 'true' );
        equal( 'message-id', $second->headers->{'message-id'}, $first->headers->{'message-id'} );
        ack( $stomp, $second, subscription => 'sub' );
        ask('count perl.nack 0');
    },
    # Beats are line ends, which Net::Stomp drops before frames.
    'heart-beat' => sub {
        my $stomp = connected( 'accept-version' => '1.1', 'heart-beat' => '1000,1000' );
        subscribe( $stomp, '/queue/perl.beat' );
        my $ready = IO::Select->new( $stomp->socket );
        for ( 1 .. 6 ) {    # the idle pause
            $stomp->socket->syswrite("\n");
            $ready->can_read($patience) or die "a heart-beat is missing\n";
            $stomp->socket->sysread( my $beat, 1 );
            equal( 'beat', $beat, "\n" );
        }
        transmit( connected(), '/queue/perl.beat', 'still here' );
        message( $stomp, 'still here' );
        equal( 'what the silent get', frame( $stomp, 'ERROR' )->headers->{'x-code'}, 'timeout' );
    },
    'transaction-commit' => sub {
        my $stomp = connected();
        transact( $stomp, 'tx-1' );
        ask('count perl.tx.out 0');
        ask('count perl.tx.in 1');
        command( $stomp, 'COMMIT', transaction => 'tx-1' );
        ask('count perl.tx.out 2');
        ask('count perl.tx.in 0');
    },
    'transaction-abort' => sub {
        my $stomp = connected();
        my $frame = transact( $stomp, 'tx-2' );
        command( $stomp, 'ABORT', transaction => 'tx-2' );
        ask('count perl.tx.out 2');
        ask('count perl.tx.in 1');
        ack( $stomp, $frame );
        ask('count perl.tx.in 0');
    },
    'binary' => sub {
        my $body = join( '', map { chr } 0 .. 255 ) x 40 . "\0\0";
        my $stomp = connected();
        transmit( $stomp, '/queue/perl.binary', $body, bytes_message => 1 );
        subscribe( $stomp, '/queue/perl.binary' );
        message( $stomp, $body );
    },
    'utf8' => sub {
        my ( $queue, $key, $value, $body ) =
          map { encode( 'UTF-8', $_ ) } '/queue/perl.ütf8', 'schlüssel', 'Grüße: 日本\\n 🎉', 'Wörld 🌍';
        my $stomp = connected();
        transmit( $stomp, $queue, $body, $key => $value );
        subscribe( $stomp, $queue );
        equal( 'header', message( $stomp, $body )->headers->{$key}, $value );
    },
    'topic' => sub {
        my @subscribers = map { connected() } 1 .. 2;
        subscribe( $_, '/topic/perl.news.>' ) for @subscribers;
        transmit( connected(), '/topic/perl.news.today', 'extra' );
        message( $_, 'extra' ) for @subscribers;
    },
    'reconnect-term' => sub { reconnect('term') },
    'reconnect-kill' => sub { reconnect('kill') },
);

while ( my ( $name, $step ) = splice @steps, 0, 2 ) {
    if ( !eval { $step->(); 1 } ) {
        print STDERR "$name: $@";
        exit 1;
    }
    print "ok $name\n";
}
print "done\n";

package treadmq.clients;

import static treadmq.clients.Steps.PATIENCE;
import static treadmq.clients.Steps.ask;
import static treadmq.clients.Steps.equal;

import java.lang.reflect.Type;
import java.util.List;
import java.util.Map;
import java.util.concurrent.BlockingQueue;
import java.util.concurrent.CountDownLatch;
import java.util.concurrent.LinkedBlockingQueue;
import java.util.concurrent.TimeUnit;
import org.springframework.messaging.converter.StringMessageConverter;
import org.springframework.messaging.simp.stomp.StompCommand;
import org.springframework.messaging.simp.stomp.StompFrameHandler;
import org.springframework.messaging.simp.stomp.StompHeaders;
import org.springframework.messaging.simp.stomp.StompSession;
import org.springframework.messaging.simp.stomp.StompSessionHandlerAdapter;
import org.springframework.scheduling.concurrent.ThreadPoolTaskScheduler;
import org.springframework.web.socket.client.standard.StandardWebSocketClient;
import org.springframework.web.socket.messaging.WebSocketStompClient;

/**
 * A Spring application (SpringServer) that relays STOMP between browsers' WebSockets and TreadMQ. The browsers are
 * Spring's WebSocket clients; a second application on the same broker is what a cluster of them would be.
 */
public final class SpringRelay {
    private static final long BEAT = 10_000; // ms: heart-beats of the system connection, the default of Spring

    private static final ThreadPoolTaskScheduler SCHEDULER = new ThreadPoolTaskScheduler();

    private static SpringServer server;
    private static long available; // System.nanoTime() of the system connection's start

    private SpringRelay() {}

    public static void main(String[] args) {
        SCHEDULER.setDaemon(true);
        SCHEDULER.initialize();
        Steps steps = new Steps();
        steps.add("relay-available", SpringRelay::start);
        steps.add("topic", SpringRelay::topic);
        steps.add("application", SpringRelay::application);
        steps.add("queue", SpringRelay::queue);
        steps.add("user-destination", SpringRelay::userDestination);
        steps.add("user-queue-vanishes", SpringRelay::vanish);
        steps.add("user-queue-auto-delete", SpringRelay::autoDelete);
        steps.add("user-on-other-server", SpringRelay::otherServer);
        steps.add("error-frame", SpringRelay::errorFrame);
        steps.add("heart-beat", SpringRelay::heartBeat);
        steps.add("reconnect-term", () -> reconnect("term"));
        steps.add("reconnect-kill", () -> reconnect("kill"));
        steps.run();
    }

    /** A browser: a WebSocket client of a server with what it received. */
    private static final class Browser extends StompSessionHandlerAdapter implements AutoCloseable {
        final BlockingQueue<Frame> inbox = new LinkedBlockingQueue<>();
        final CountDownLatch lost = new CountDownLatch(1);
        final StompSession session;
        final String id; // the server's name of the session

        Browser(SpringServer to, String user) throws Exception {
            WebSocketStompClient client = new WebSocketStompClient(new StandardWebSocketClient());
            client.setMessageConverter(new StringMessageConverter());
            client.setTaskScheduler(SCHEDULER);
            client.setDefaultHeartbeat(new long[] {1000, 1000});
            session = client.connectAsync("ws://127.0.0.1:" + to.port() + "/ws?user={user}", this, user)
                .get(PATIENCE, TimeUnit.MILLISECONDS);
            session.setAutoReceipt(true);
            id = to.session(user);
        }

        /** Subscribes and waits for the receipt, which comes from the broker. */
        void subscribe(String destination, String... more) throws InterruptedException {
            StompHeaders headers = new StompHeaders();
            headers.setDestination(destination);
            for (int i = 0; i < more.length; i += 2) {
                headers.set(more[i], more[i + 1]);
            }
            await("SUBSCRIBE to " + destination, session.subscribe(headers, this));
        }

        void send(String destination, String body) throws InterruptedException {
            await("SEND to " + destination, session.send(destination, body));
        }

        void ack(Frame frame) throws InterruptedException {
            await("ACK", session.acknowledge(frame.headers.getAck(), true));
        }

        private static void await(String what, StompSession.Receiptable frame) throws InterruptedException {
            CountDownLatch receipt = new CountDownLatch(1);
            frame.addReceiptTask(receipt::countDown);
            equal("receipt of " + what, receipt.await(PATIENCE, TimeUnit.MILLISECONDS), true);
        }

        Frame expect(String body) throws InterruptedException {
            Frame frame = inbox.poll(PATIENCE, TimeUnit.MILLISECONDS);
            if (frame == null) {
                throw new AssertionError("nothing came");
            }
            equal("body", frame.body, body);
            return frame;
        }

        @Override
        public Type getPayloadType(StompHeaders headers) {
            return String.class;
        }

        @Override
        public void handleFrame(StompHeaders headers, Object payload) {
            inbox.add(new Frame(headers, (String) payload));
        }

        @Override
        public void handleException(StompSession s, StompCommand command, StompHeaders headers, byte[] body, Throwable failure) {
            failure.printStackTrace();
        }

        @Override
        public void handleTransportError(StompSession s, Throwable failure) {
            lost.countDown();
        }

        @Override
        public void close() {
            if (session.isConnected()) {
                session.disconnect();
            }
        }
    }

    private record Frame(StompHeaders headers, String body) {}

    private static void start() throws Exception {
        server = new SpringServer();
        available = System.nanoTime();
        equal("relay is available", server.availability(), true);
    }

    private static void topic() throws Exception {
        try (Browser one = new Browser(server, "one"); Browser two = new Browser(server, "two")) {
            one.subscribe("/topic/spring.news.*");
            two.subscribe("/topic/spring.news.>");
            one.session.send("/topic/spring.news.today", "from a browser");
            for (Browser b : List.of(one, two)) {
                equal("destination", b.expect("from a browser").headers.getDestination(), "/topic/spring.news.today");
            }
            server.template().convertAndSend("/topic/spring.news.today", (Object) "from the server", Map.of("colour", "a:b"));
            for (Browser b : List.of(one, two)) {
                equal("header", b.expect("from the server").headers.getFirst("colour"), "a:b");
            }
        }
    }

    /** A browser calls the application, whose answer goes to everybody through the broker. */
    private static void application() throws Exception {
        try (Browser one = new Browser(server, "one"); Browser two = new Browser(server, "two")) {
            one.subscribe("/topic/spring.greetings");
            two.subscribe("/topic/spring.greetings");
            one.session.send("/app/greet", "Wörld");
            one.expect("Hello, Wörld");
            two.expect("Hello, Wörld");
        }
    }

    /** Of two browsers at a queue each message reaches one; what is not acknowledged comes to the other. */
    private static void queue() throws Exception {
        try (Browser one = new Browser(server, "one")) {
            one.subscribe("/queue/spring.work", "ack", "client-individual", "activemq.prefetchSize", "1");
            one.send("/queue/spring.work", "first");
            one.expect("first"); // and never acknowledges it
            try (Browser two = new Browser(server, "two")) {
                two.subscribe("/queue/spring.work", "ack", "client-individual");
                one.send("/queue/spring.work", "second");
                two.ack(two.expect("second"));
                ask("count spring.work 1");
                one.close();
                Frame again = two.expect("first");
                equal("redelivered", again.headers.getFirst("redelivered"), "true");
                two.ack(again);
                ask("count spring.work 0");
            }
        }
    }

    private static void userDestination() throws Exception {
        try (Browser one = new Browser(server, "one"); Browser two = new Browser(server, "two")) {
            one.subscribe("/user/queue/spring.replies");
            two.subscribe("/user/queue/spring.replies");
            server.template().convertAndSendToUser("two", "/queue/spring.replies", "for two");
            equal("destination", two.expect("for two").headers.getDestination(), "/user/queue/spring.replies");
            one.session.send("/app/whoami", "");
            equal("destination", one.expect("you are one").headers.getDestination(), "/user/queue/spring.replies");
            equal("left at two", two.inbox.poll(), null);
        }
    }

    /** The queues behind user destinations go when their sessions do: the policy collects what is empty and unused. */
    private static void vanish() throws Exception {
        String collected;
        String kept;
        try (Browser one = new Browser(server, "one"); Browser two = new Browser(server, "two")) {
            one.subscribe("/user/queue/spring.short");
            two.subscribe("/user/queue/spring.short");
            collected = "spring.short-user" + one.id;
            kept = "spring.short-user" + two.id;
            ask("there " + collected);
            one.close();
            ask("gone " + collected);
            ask("there " + kept);
            server.template().convertAndSendToUser("two", "/queue/spring.short", "still there");
            two.expect("still there");
        }
        ask("gone " + kept);
    }

    /** The same by the subscriber's wish, for a queue that no policy is about: also with messages in it. */
    private static void autoDelete() throws Exception {
        Browser one = new Browser(server, "one");
        one.subscribe("/user/queue/once.replies", "auto-delete", "true", "ack", "client");
        String queue = "once.replies-user" + one.id;
        server.template().convertAndSendToUser("one", "/queue/once.replies", "unanswered");
        one.expect("unanswered");
        ask("count " + queue + " 1");
        one.close();
        ask("gone " + queue);
    }

    /** A message to a user who is connected to another server finds the way over the broker. */
    private static void otherServer() throws Exception {
        try (SpringServer other = new SpringServer()) {
            equal("relay is available", other.availability(), true);
            try (Browser far = new Browser(other, "far")) {
                far.subscribe("/user/queue/spring.replies");
                server.template().convertAndSendToUser("far", "/queue/spring.replies", "from afar");
                far.expect("from afar");
            }
        }
    }

    /**
     * An error of the broker reaches the browser whose frame it is about, and nobody else. Spring's outbound channel
     * does not keep order: what it says itself of the closed connection may overtake the error and end the session.
     */
    private static void errorFrame() throws Exception {
        try (Browser other = new Browser(server, "two")) {
            String code = null;
            for (int attempt = 0; attempt < 10 && code == null; attempt++) {
                Browser bad = new Browser(server, "one");
                StompHeaders headers = new StompHeaders();
                headers.setDestination("/queue/spring.bad");
                headers.set("selector", "weight >");
                bad.session.subscribe(headers, bad);
                Frame error = bad.inbox.poll(PATIENCE, TimeUnit.MILLISECONDS);
                equal("an error came", error != null, true);
                code = error.headers.getFirst("x-code");
                equal("session ended", bad.lost.await(PATIENCE, TimeUnit.MILLISECONDS), true);
            }
            equal("code", code, "bad-selector");
            other.subscribe("/topic/spring.news.*");
            other.session.send("/topic/spring.news.today", "alive");
            other.expect("alive");
        }
    }

    /** Browsers with heart-beats of 1 s stay, and the system connection with 10 s does; Spring gives up after three of them. */
    private static void heartBeat() throws Exception {
        try (Browser one = new Browser(server, "one")) {
            one.subscribe("/topic/spring.beat");
            long idle = Math.max(5_000, 3 * BEAT + 1_000 - TimeUnit.NANOSECONDS.toMillis(System.nanoTime() - available));
            equal("browser lost", one.lost.await(idle, TimeUnit.MILLISECONDS), false); // the idle pause
            equal("relay lost", server.lost(), false);
            server.template().convertAndSend("/topic/spring.beat", "still here");
            one.expect("still here");
        }
    }

    /** The relay loses the broker, says so to its browsers, and finds it again by itself. */
    private static void reconnect(String how) throws Exception {
        try (Browser before = new Browser(server, "one")) {
            before.send("/queue/spring.restart", how);
            ask("restart " + how);
            equal("browser lost", before.lost.await(PATIENCE, TimeUnit.MILLISECONDS), true);
        }
        equal("relay is available", server.availability(), false);
        equal("relay is available", server.availability(), true);
        try (Browser after = new Browser(server, "one")) {
            after.subscribe("/queue/spring.restart");
            after.expect(how);
        }
        ask("count spring.restart 0");
    }
}

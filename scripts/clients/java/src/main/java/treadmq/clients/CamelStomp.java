package treadmq.clients;

import static treadmq.clients.Steps.PATIENCE;
import static treadmq.clients.Steps.ask;
import static treadmq.clients.Steps.equal;

import java.util.Locale;
import java.util.Map;
import java.util.Properties;
import java.util.concurrent.BlockingQueue;
import java.util.concurrent.LinkedBlockingQueue;
import java.util.concurrent.TimeUnit;
import org.apache.camel.CamelContext;
import org.apache.camel.Exchange;
import org.apache.camel.builder.RouteBuilder;
import org.apache.camel.component.stomp.StompComponent;
import org.apache.camel.component.stomp.StompConfiguration;
import org.apache.camel.main.Main;
import org.fusesource.hawtbuf.Buffer;

/**
 * Routes of Apache Camel over its component "stomp:", against TreadMQ. The component does not connect again when its
 * connection is lost, and asks for no receipts: a step waits for what comes out of a route. "stomp:topic:N" is, as on
 * ActiveMQ, a queue that is called "topic:N"; a topic is "stomp:/topic/N".
 */
public final class CamelStomp {
    private static final BlockingQueue<Exchange> QUEUED = new LinkedBlockingQueue<>();
    private static final BlockingQueue<Exchange> NEWS = new LinkedBlockingQueue<>();
    private static final BlockingQueue<Exchange> CHOSEN = new LinkedBlockingQueue<>();

    private static CamelContext context;

    private CamelStomp() {}

    public static void main(String[] args) throws Exception {
        Main main = new Main();
        main.bind("stomp", component(Steps.passcode(), new Properties()));
        Properties chosen = new Properties();
        chosen.put("selector", "weight > 2");
        chosen.put("activemq.prefetchSize", "1");
        main.bind("chosen", component(Steps.passcode(), chosen));
        main.bind("other", component(Steps.passcode(), new Properties())); // an endpoint has one consumer
        main.bind("refused", component("wrong", new Properties()));
        main.configure().addRoutesBuilder(new Routes());
        main.start();
        context = main.getCamelContext();

        Steps steps = new Steps();
        steps.add("routes-started", () -> equal("routes", context.getRoutesSize(), 6));
        steps.add("login-refused", CamelStomp::refused);
        steps.add("queue-to-queue", CamelStomp::queueToQueue);
        steps.add("headers", CamelStomp::headers);
        steps.add("topic", CamelStomp::topic);
        steps.add("selector", CamelStomp::selector);
        steps.add("stopped-route", CamelStomp::stoppedRoute);
        steps.run();
    }

    private static final class Routes extends RouteBuilder {
        @Override
        public void configure() {
            from("stomp:/queue/camel.in").routeId("upper")
                .process(e -> e.getIn().setBody(text(e).toUpperCase(Locale.ROOT)))
                .to("stomp:/queue/camel.out");
            from("stomp:/queue/camel.out").process(QUEUED::add);
            from("stomp:/queue/camel.announce")
                .process(e -> e.getIn().setBody(text(e))) // a body that is passed on as it came is sent with its Java type
                .to("stomp:/topic/camel.news");
            from("stomp:/topic/camel.news").process(NEWS::add);
            from("other:/topic/camel.news").process(NEWS::add);
            from("chosen:/queue/camel.chosen").process(CHOSEN::add);
        }
    }

    private static StompComponent component(String passcode, Properties headers) {
        StompConfiguration configuration = new StompConfiguration();
        configuration.setBrokerURL("tcp://" + Steps.host() + ":" + Steps.port());
        configuration.setLogin(Steps.login());
        configuration.setPasscode(passcode);
        configuration.setCustomHeaders(headers);
        StompComponent component = new StompComponent();
        component.setConfiguration(configuration);
        return component;
    }

    private static String text(Exchange exchange) {
        return ((Buffer) exchange.getIn().getBody()).utf8().toString();
    }

    private static Exchange next(BlockingQueue<Exchange> where) throws InterruptedException {
        Exchange exchange = where.poll(PATIENCE, TimeUnit.MILLISECONDS);
        if (exchange == null) {
            throw new AssertionError("no message came");
        }
        return exchange;
    }

    private static Exchange expect(BlockingQueue<Exchange> where, String body) throws InterruptedException {
        Exchange exchange = next(where);
        equal("body", text(exchange), body);
        return exchange;
    }

    private static void send(String uri, String body, Map<String, Object> headers) {
        context.createProducerTemplate().sendBodyAndHeaders(uri, body, headers);
    }

    private static void refused() throws Exception {
        try {
            context.getEndpoint("refused:/queue/camel.in").start();
        } catch (Exception expected) {
            return;
        }
        throw new AssertionError("a wrong passcode was accepted");
    }

    private static void queueToQueue() throws Exception {
        send("stomp:/queue/camel.in", "grüße", Map.of());
        expect(QUEUED, "GRÜSSE");
        ask("count camel.in 0");
        ask("count camel.out 0");
    }

    /** Camel escapes headers when it sends and takes them as they are when it receives, so there is nothing to escape here. */
    private static void headers() throws Exception {
        send("stomp:/queue/camel.out", "with headers", Map.of("colour", "blue", "priority", "7", "persistent", "true"));
        Exchange exchange = expect(QUEUED, "with headers");
        equal("colour", exchange.getIn().getHeader("colour").toString(), "blue");
        equal("priority", exchange.getIn().getHeader("priority").toString(), "7");
    }

    private static void topic() throws Exception {
        send("stomp:/queue/camel.announce", "extra", Map.of());
        expect(NEWS, "extra");
        expect(NEWS, "extra");
    }

    private static void selector() throws Exception {
        for (String weight : new String[] {"1", "2.5", "two", "10"}) {
            send("stomp:/queue/camel.chosen", weight, Map.of("weight", weight));
        }
        expect(CHOSEN, "2.5");
        expect(CHOSEN, "10");
        ask("count camel.chosen 2");
    }

    /**
     * A route that is stopped consumes nothing, and does so again when it is started. What came meanwhile is
     * acknowledged then, but now and then gets no further: the component subscribes before it knows its consumer.
     */
    private static void stoppedRoute() throws Exception {
        context.getRouteController().stopRoute("upper");
        send("stomp:/queue/camel.announce", "while stopped", Map.of());
        expect(NEWS, "while stopped");
        expect(NEWS, "while stopped");
        send("stomp:/queue/camel.in", "lost", Map.of());
        ask("count camel.in 1");
        context.getRouteController().startRoute("upper");
        ask("count camel.in 0");
        send("stomp:/queue/camel.in", "later", Map.of());
        String body = text(next(QUEUED));
        if (body.equals("LOST")) {
            body = text(next(QUEUED));
        }
        equal("body", body, "LATER");
    }
}

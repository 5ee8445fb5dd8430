package treadmq.clients;

import static treadmq.clients.Steps.ask;
import static treadmq.clients.Steps.equal;
import static treadmq.clients.StompJms.connected;
import static treadmq.clients.StompJms.expect;
import static treadmq.clients.StompJms.send;

import java.util.ArrayList;
import java.util.Collections;
import java.util.List;
import javax.jms.Connection;
import javax.jms.Message;
import javax.jms.MessageConsumer;
import javax.jms.MessageProducer;
import javax.jms.QueueBrowser;
import javax.jms.Session;
import javax.jms.TextMessage;
import javax.jms.Topic;

/**
 * What stompjms offers only when the broker's header "server" is one it knows, as stomp.serverHeader can say: with
 * "ActiveMQ/..." durable subscribers and noLocal, with "apache-apollo/..." browsers, and durable subscribers in another
 * spelling. There is no step for unsubscribe(): with the one it fails, with the other it names another id than SUBSCRIBE did.
 */
public final class StompJmsServers {
    private StompJmsServers() {}

    public static void main(String[] args) {
        Steps steps = new Steps();
        switch (args[0]) {
            case "activemq":
                steps.add("no-local", StompJmsServers::noLocal);
                steps.add("durable-subscriber", StompJmsServers::durable);
                break;
            case "apollo":
                steps.add("browser", StompJmsServers::browser);
                steps.add("browser-selector", StompJmsServers::browserWithSelector);
                steps.add("durable-subscriber", StompJmsServers::durable);
                break;
            default:
                throw new IllegalArgumentException(args[0]);
        }
        steps.run();
    }

    private static Session session(Connection c) throws Exception {
        return c.createSession(false, Session.AUTO_ACKNOWLEDGE);
    }

    private static void publish(Connection c, String topic, String... texts) throws Exception {
        Session session = session(c);
        MessageProducer producer = session.createProducer(session.createTopic(topic));
        for (String text : texts) {
            TextMessage m = session.createTextMessage(text);
            m.setStringProperty("text", text);
            producer.send(m);
        }
    }

    /** stompjms sends over one STOMP connection for each JMS connection and consumes over others: noLocal hides nothing here. */
    private static void noLocal() throws Exception {
        connected(c -> {
            Session session = session(c);
            MessageConsumer consumer = session.createConsumer(session.createTopic("java.local"), null, true);
            send(session, "java.barrier", "");
            connected(other -> publish(other, "java.local", "from elsewhere"));
            expect(consumer, "from elsewhere", false);
        });
    }

    /** Collects while nobody is there, over a restart too, and keeps to its selector. */
    private static void durable() throws Exception {
        named(c -> {
            Session session = session(c);
            Topic topic = session.createTopic("java.durable");
            session.createDurableSubscriber(topic, "audit", "text <> 'noise'", false);
        });
        connected(c -> publish(c, "java.durable", "one", "noise", "two"));
        ask("restart term");
        named(c -> {
            Session session = session(c);
            MessageConsumer audit = session.createDurableSubscriber(session.createTopic("java.durable"), "audit", "text <> 'noise'", false);
            expect(audit, "one", false);
            expect(audit, "two", false);
            connected(other -> publish(other, "java.durable", "three"));
            expect(audit, "three", false);
        });
    }

    /** A connection with a client id, that durable subscriptions belong to. */
    private static void named(StompJms.Use use) throws Exception {
        Connection c = StompJms.factory().createConnection();
        c.setClientID("java-client");
        c.start();
        use.with(c);
        c.close();
    }

    private static List<String> browse(Session session, String queue, String selector) throws Exception {
        List<String> texts = new ArrayList<>();
        QueueBrowser browser = session.createBrowser(session.createQueue(queue), selector);
        for (Object m : Collections.list(browser.getEnumeration())) {
            texts.add(((TextMessage) m).getText());
        }
        browser.close();
        return texts;
    }

    private static void fill(Session session, String queue, int n) throws Exception {
        MessageProducer producer = session.createProducer(session.createQueue(queue));
        for (int i = 0; i < n; i++) {
            TextMessage m = session.createTextMessage("m" + i);
            m.setIntProperty("number", i);
            producer.send(m);
        }
        ask("count " + queue + " " + n);
    }

    private static void browser() throws Exception {
        connected(c -> {
            Session session = session(c);
            fill(session, "java.browse", 1000);
            List<String> texts = browse(session, "java.browse", null);
            equal("messages", texts.size(), 1000);
            equal("last", texts.get(999), "m999");
            ask("count java.browse 1000");
            Message first = expect(session.createConsumer(session.createQueue("java.browse")), "m0", false);
            equal("redelivered", first.getJMSRedelivered(), false);
        });
    }

    private static void browserWithSelector() throws Exception {
        connected(c -> {
            Session session = session(c);
            fill(session, "java.browse.selector", 500);
            equal("messages", browse(session, "java.browse.selector", "number BETWEEN 496 AND 498"), List.of("m496", "m497", "m498"));
        });
    }
}

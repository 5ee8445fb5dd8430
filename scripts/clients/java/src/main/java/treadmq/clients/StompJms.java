package treadmq.clients;

import static treadmq.clients.Steps.PATIENCE;
import static treadmq.clients.Steps.ask;
import static treadmq.clients.Steps.equal;

import java.util.ArrayList;
import java.util.Arrays;
import java.util.List;
import java.util.concurrent.CountDownLatch;
import java.util.concurrent.TimeUnit;
import javax.jms.BytesMessage;
import javax.jms.Connection;
import javax.jms.DeliveryMode;
import javax.jms.JMSException;
import javax.jms.Message;
import javax.jms.MessageConsumer;
import javax.jms.MessageProducer;
import javax.jms.Queue;
import javax.jms.Session;
import javax.jms.TextMessage;
import org.fusesource.stomp.jms.StompJmsConnectionFactory;

/**
 * JMS 1.1 over STOMP with stompjms, against TreadMQ. There is no step for what JMS has in the place of
 * NACK: recover() of stompjms does nothing; {@link StompClient} has it. Nor for temporary queues:
 * stompjms consumes and sends over different STOMP connections, whose names of them are not the same.
 */
public final class StompJms {
    interface Use {
        void with(Connection connection) throws Exception;
    }

    public static void main(String[] args) {
        Steps steps = new Steps();
        steps.add("login", () -> connected(c -> equal("provider", c.getMetaData().getJMSMajorVersion(), 1)));
        steps.add("login-refused", StompJms::refused);
        steps.add("send-receipt", StompJms::send);
        steps.add("subscribe-auto", StompJms::subscribe);
        steps.add("ack-client", StompJms::ackClient);
        steps.add("redelivery", StompJms::redelivery);
        steps.add("transaction-commit", StompJms::commit);
        steps.add("transaction-abort", StompJms::rollback);
        steps.add("binary", StompJms::binary);
        steps.add("utf8", StompJms::utf8);
        steps.add("topic", StompJms::topic);
        steps.add("priority", StompJms::priority);
        steps.add("selector", StompJms::selector);
        steps.add("rollback", StompJms::rolledBackComesAgain);
        steps.add("idle", StompJms::idle);
        steps.add("reconnect-term", () -> reconnect("term"));
        steps.add("reconnect-kill", () -> reconnect("kill"));
        steps.run();
    }

    static StompJmsConnectionFactory factory() {
        StompJmsConnectionFactory factory = new StompJmsConnectionFactory();
        factory.setBrokerURI("tcp://" + Steps.host() + ":" + Steps.port());
        factory.setUsername(Steps.login());
        factory.setPassword(Steps.passcode());
        return factory;
    }

    static void connected(Use use) throws Exception {
        Connection connection = factory().createConnection();
        connection.start();
        use.with(connection);
        connection.close();
    }

    private static void refused() throws Exception {
        try {
            factory().createConnection(Steps.login(), "wrong").start();
        } catch (JMSException expected) {
            return;
        }
        throw new AssertionError("a wrong passcode was accepted");
    }

    /** Sends a text; stompjms waits for the receipt of persistent messages. */
    static void send(Session session, String queue, String text) throws JMSException {
        MessageProducer producer = session.createProducer(session.createQueue(queue));
        producer.setDeliveryMode(DeliveryMode.PERSISTENT);
        producer.send(session.createTextMessage(text));
        producer.close();
    }

    static Message next(MessageConsumer consumer) throws JMSException {
        Message message = consumer.receive(PATIENCE);
        if (message == null) {
            throw new AssertionError("no message came");
        }
        return message;
    }

    static Message expect(MessageConsumer consumer, String text, boolean redelivered) throws JMSException {
        Message message = next(consumer);
        equal("text", ((TextMessage) message).getText(), text);
        equal("redelivered of " + text, message.getJMSRedelivered(), redelivered);
        return message;
    }

    private static void send() throws Exception {
        connected(c -> send(c.createSession(false, Session.AUTO_ACKNOWLEDGE), "java.send", "hello"));
        ask("count java.send 1");
    }

    private static void subscribe() throws Exception {
        connected(c -> {
            Session session = c.createSession(false, Session.AUTO_ACKNOWLEDGE);
            Message m = expect(session.createConsumer(session.createQueue("java.send")), "hello", false);
            equal("destination", ((Queue) m.getJMSDestination()).getQueueName(), "java.send");
        });
        ask("count java.send 0");
    }

    private static void ackClient() throws Exception {
        connected(c -> {
            Session session = c.createSession(false, Session.CLIENT_ACKNOWLEDGE);
            MessageConsumer consumer = session.createConsumer(session.createQueue("java.client"));
            for (String text : List.of("one", "two", "three")) {
                send(session, "java.client", text);
            }
            expect(consumer, "one", false);
            expect(consumer, "two", false).acknowledge(); // both
            ask("count java.client 1");
            expect(consumer, "three", false);
        });
        ask("count java.client 1");
    }

    private static void redelivery() throws Exception {
        connected(c -> {
            Session session = c.createSession(false, Session.CLIENT_ACKNOWLEDGE);
            expect(session.createConsumer(session.createQueue("java.client")), "three", true).acknowledge();
        });
        ask("count java.client 0");
    }

    /** Consumes one message and sends two in a transacted session. */
    private static Session transact(Connection c) throws Exception {
        send(c.createSession(false, Session.AUTO_ACKNOWLEDGE), "java.tx.in", "work");
        Session session = c.createSession(true, Session.SESSION_TRANSACTED);
        expect(session.createConsumer(session.createQueue("java.tx.in")), "work", false);
        send(session, "java.tx.out", "result 1");
        send(session, "java.tx.out", "result 2");
        return session;
    }

    private static void commit() throws Exception {
        connected(c -> {
            Session session = transact(c);
            ask("count java.tx.out 0");
            ask("count java.tx.in 1");
            session.commit();
        });
        ask("count java.tx.out 2");
        ask("count java.tx.in 0");
    }

    private static void rollback() throws Exception {
        connected(c -> transact(c).rollback());
        ask("count java.tx.out 2");
        ask("count java.tx.in 1");
        connected(c -> {
            Session session = c.createSession(false, Session.AUTO_ACKNOWLEDGE);
            expect(session.createConsumer(session.createQueue("java.tx.in")), "work", true);
        });
        ask("count java.tx.in 0");
    }

    private static void binary() throws Exception {
        byte[] body = new byte[70_000];
        for (int i = 0; i < body.length; i++) {
            body[i] = (byte) i;
        }
        connected(c -> {
            Session session = c.createSession(false, Session.AUTO_ACKNOWLEDGE);
            BytesMessage out = session.createBytesMessage();
            out.writeBytes(body);
            session.createProducer(session.createQueue("java.binary")).send(out);
            BytesMessage in = (BytesMessage) next(session.createConsumer(session.createQueue("java.binary")));
            byte[] got = new byte[(int) in.getBodyLength()];
            in.readBytes(got);
            equal("body as sent", Arrays.equals(got, body), true);
        });
    }

    /**
     * stompjms cuts names of destinations down to one byte a character, mistakes an escaped line end, and
     * escapes the standard headers twice.
     */
    private static void utf8() throws Exception {
        String value = "Grüße: 日本 🎉 \\ end";
        connected(c -> {
            Session session = c.createSession(false, Session.AUTO_ACKNOWLEDGE);
            TextMessage out = session.createTextMessage("Wörld 🌍");
            out.setStringProperty("schlüssel", value);
            out.setIntProperty("number", 42);
            out.setJMSCorrelationID("order 7");
            out.setJMSType("grün");
            session.createProducer(session.createQueue("java.utf8")).send(out);
            Message in = expect(session.createConsumer(session.createQueue("java.utf8")), "Wörld 🌍", false);
            equal("property", in.getStringProperty("schlüssel"), value);
            equal("number", in.getIntProperty("number"), 42);
            equal("correlation id", in.getJMSCorrelationID(), "order 7");
            equal("type", in.getJMSType(), "grün");
        });
    }

    private static void topic() throws Exception {
        connected(one -> connected(two -> {
            List<MessageConsumer> consumers = new ArrayList<>();
            for (Connection c : List.of(one, two)) {
                Session session = c.createSession(false, Session.AUTO_ACKNOWLEDGE);
                consumers.add(session.createConsumer(session.createTopic("java.news")));
                send(session, "java.barrier", ""); // its receipt comes after the SUBSCRIBE was carried out
            }
            Session session = one.createSession(false, Session.AUTO_ACKNOWLEDGE);
            session.createProducer(session.createTopic("java.news")).send(session.createTextMessage("extra"));
            for (MessageConsumer consumer : consumers) {
                expect(consumer, "extra", false);
            }
        }));
    }

    private static void priority() throws Exception {
        connected(c -> {
            Session session = c.createSession(false, Session.AUTO_ACKNOWLEDGE);
            MessageProducer producer = session.createProducer(session.createQueue("java.priority"));
            for (int p : new int[] {1, 9, 4}) {
                producer.send(session.createTextMessage("p" + p), DeliveryMode.PERSISTENT, p, 0);
            }
            ask("count java.priority 3");
            MessageConsumer consumer = session.createConsumer(session.createQueue("java.priority"));
            for (int p : new int[] {9, 4, 1}) {
                equal("priority", expect(consumer, "p" + p, false).getJMSPriority(), p);
            }
        });
    }

    /** Two consumers of a queue with selectors that have nothing in common, on typed properties. */
    private static void selector() throws Exception {
        connected(c -> {
            Session session = c.createSession(false, Session.AUTO_ACKNOWLEDGE);
            Queue queue = session.createQueue("java.selector");
            MessageProducer producer = session.createProducer(queue);
            for (double weight : new double[] {1, 2.5, 3}) {
                TextMessage m = session.createTextMessage("w" + weight);
                m.setDoubleProperty("weight", weight);
                m.setBooleanProperty("fragile", weight == 3);
                m.setJMSType("parcel");
                producer.send(m);
            }
            ask("count java.selector 3");
            MessageConsumer light = session.createConsumer(queue, "JMSType = 'parcel' AND weight <= 1");
            MessageConsumer heavy = session.createConsumer(queue, "weight > 2 AND NOT fragile");
            expect(heavy, "w2.5", false);
            expect(light, "w1.0", false);
            ask("count java.selector 1");
            expect(session.createConsumer(queue, "fragile"), "w3.0", false);
        });
    }

    /** What a transacted session rolls back it gets again, and may commit then. */
    private static void rolledBackComesAgain() throws Exception {
        connected(c -> {
            send(c.createSession(false, Session.AUTO_ACKNOWLEDGE), "java.rollback", "again");
            Session session = c.createSession(true, Session.SESSION_TRANSACTED);
            MessageConsumer consumer = session.createConsumer(session.createQueue("java.rollback"));
            expect(consumer, "again", false);
            session.rollback();
            equal("text", ((TextMessage) next(consumer)).getText(), "again"); // from stompjms' own memory, not flagged
            session.commit();
            ask("count java.rollback 0");
        });
    }

    /** stompjms sends no heart-beats and asks for none: it may stay idle for as long as it likes. */
    private static void idle() throws Exception {
        connected(c -> {
            CountDownLatch failed = new CountDownLatch(1);
            c.setExceptionListener(failure -> failed.countDown());
            Session session = c.createSession(false, Session.AUTO_ACKNOWLEDGE);
            MessageConsumer consumer = session.createConsumer(session.createQueue("java.idle"));
            equal("failure while idle", failed.await(5, TimeUnit.SECONDS), false); // the idle pause
            send(session, "java.idle", "still here");
            expect(consumer, "still here", false);
        });
    }

    private static void reconnect(String how) throws Exception {
        Connection lost = factory().createConnection();
        CountDownLatch failed = new CountDownLatch(1);
        lost.setExceptionListener(failure -> failed.countDown());
        lost.start();
        Session session = lost.createSession(false, Session.CLIENT_ACKNOWLEDGE);
        MessageConsumer consumer = session.createConsumer(session.createQueue("java.restart"));
        send(session, "java.restart", how);
        expect(consumer, how, false);
        ask("restart " + how);
        equal("failure noticed", failed.await(PATIENCE, TimeUnit.MILLISECONDS), true);
        connected(c -> {
            Session again = c.createSession(false, Session.CLIENT_ACKNOWLEDGE);
            expect(again.createConsumer(again.createQueue("java.restart")), how, true).acknowledge();
        });
        ask("count java.restart 0");
    }

    private StompJms() {}
}

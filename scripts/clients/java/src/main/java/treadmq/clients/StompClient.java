package treadmq.clients;

import static org.fusesource.hawtbuf.Buffer.ascii;
import static treadmq.clients.Steps.PATIENCE;
import static treadmq.clients.Steps.ask;
import static treadmq.clients.Steps.equal;

import java.util.ArrayList;
import java.util.List;
import java.util.Properties;
import java.util.concurrent.TimeUnit;
import org.fusesource.hawtbuf.AsciiBuffer;
import org.fusesource.stomp.client.FutureConnection;
import org.fusesource.stomp.client.ProtocolException;
import org.fusesource.stomp.client.Stomp;
import org.fusesource.stomp.codec.StompFrame;

/**
 * The client of frames beneath the JMS of stompjms, which can do what the JMS cannot: acknowledge single messages, NACK, and ask for
 * heart-beats. It drops the broker's beats; any frame counts as one of ours.
 */
public final class StompClient {
    public static void main(String[] args) {
        Steps steps = new Steps();
        steps.add("ack-individual", StompClient::ackIndividual);
        steps.add("nack", StompClient::nack);
        steps.add("heart-beat", StompClient::heartBeat);
        steps.run();
    }

    private static FutureConnection connect(String beats) throws Exception {
        Stomp stomp = new Stomp(Steps.host(), Steps.port());
        stomp.setLogin(Steps.login());
        stomp.setPasscode(Steps.passcode());
        stomp.setVersion("1.1");
        Properties headers = new Properties();
        headers.setProperty("heart-beat", beats);
        stomp.setCustomHeaders(headers);
        FutureConnection connection = stomp.connectFuture().await(PATIENCE, TimeUnit.MILLISECONDS);
        equal("heart-beat", header(connection.connectedFrame(), "heart-beat"), beats);
        return connection;
    }

    private static String header(StompFrame frame, String name) {
        AsciiBuffer value = frame.getHeader(ascii(name));
        return value == null ? null : value.toString();
    }

    private static StompFrame frame(String command, String... headers) {
        StompFrame frame = new StompFrame(ascii(command));
        for (int i = 0; i < headers.length; i += 2) {
            frame.addHeader(ascii(headers[i]), ascii(headers[i + 1]));
        }
        return frame;
    }

    /** Sends a frame and waits for its receipt. */
    private static void request(FutureConnection connection, StompFrame frame) throws Exception {
        connection.request(frame).await(PATIENCE, TimeUnit.MILLISECONDS);
    }

    private static void send(FutureConnection connection, String queue, String text) throws Exception {
        request(connection, frame("SEND", "destination", queue).content(ascii(text)));
    }

    private static void subscribe(FutureConnection connection, String queue) throws Exception {
        request(connection, frame("SUBSCRIBE", "id", "1", "destination", queue, "ack", "client-individual"));
    }

    private static StompFrame message(FutureConnection connection, String text, String redelivered) throws Exception {
        StompFrame frame = connection.receive().await(PATIENCE, TimeUnit.MILLISECONDS);
        equal("command", frame.action().toString(), "MESSAGE");
        equal("text", frame.contentAsString(), text);
        equal("redelivered of " + text, header(frame, "redelivered"), redelivered);
        return frame;
    }

    private static void settle(FutureConnection connection, String command, StompFrame message) throws Exception {
        request(connection, frame(command, "subscription", "1", "message-id", header(message, "message-id")));
    }

    private static void ackIndividual() throws Exception {
        String queue = "/queue/java.individual";
        FutureConnection connection = connect("0,0");
        subscribe(connection, queue);
        List<StompFrame> messages = new ArrayList<>();
        for (String text : List.of("one", "two", "three")) {
            send(connection, queue, text);
            messages.add(message(connection, text, null));
        }
        settle(connection, "ACK", messages.get(1));
        connection.close().await();
        ask("count java.individual 2");
        connection = connect("0,0");
        subscribe(connection, queue);
        settle(connection, "ACK", message(connection, "one", "true"));
        settle(connection, "ACK", message(connection, "three", "true"));
        ask("count java.individual 0");
    }

    private static void nack() throws Exception {
        String queue = "/queue/java.nack";
        FutureConnection connection = connect("0,0");
        subscribe(connection, queue);
        send(connection, queue, "again");
        StompFrame first = message(connection, "again", null);
        settle(connection, "NACK", first);
        StompFrame second = message(connection, "again", "true");
        equal("message-id", header(second, "message-id"), header(first, "message-id"));
        settle(connection, "ACK", second);
        ask("count java.nack 0");
    }

    private static void heartBeat() throws Exception {
        String queue = "/queue/java.beat";
        FutureConnection connection = connect("1000,1000");
        subscribe(connection, queue);
        for (int i = 0; i < 10; i++) { // the idle pause, in which only beats come
            TimeUnit.MILLISECONDS.sleep(500);
            connection.send(frame("SEND", "destination", "/topic/java.nobody")).await();
        }
        send(connection, queue, "still here");
        settle(connection, "ACK", message(connection, "still here", null));
        try {
            connection.receive().await(PATIENCE, TimeUnit.MILLISECONDS); // nothing more comes from us
        } catch (ProtocolException expected) {
            equal("what the silent get", expected.getMessage(), "Received an error: no heart-beat");
            return;
        }
        throw new AssertionError("a frame came for the silent, and no ERROR");
    }

    private StompClient() {}
}

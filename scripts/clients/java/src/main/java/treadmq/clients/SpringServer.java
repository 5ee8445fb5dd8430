package treadmq.clients;

import java.security.Principal;
import java.util.Map;
import java.util.concurrent.BlockingQueue;
import java.util.concurrent.ConcurrentHashMap;
import java.util.concurrent.LinkedBlockingQueue;
import java.util.concurrent.TimeUnit;
import org.springframework.boot.autoconfigure.EnableAutoConfiguration;
import org.springframework.boot.builder.SpringApplicationBuilder;
import org.springframework.boot.web.context.WebServerApplicationContext;
import org.springframework.context.annotation.Configuration;
import org.springframework.context.annotation.Import;
import org.springframework.context.event.EventListener;
import org.springframework.http.server.ServerHttpRequest;
import org.springframework.messaging.handler.annotation.MessageMapping;
import org.springframework.messaging.handler.annotation.SendTo;
import org.springframework.messaging.simp.SimpMessageHeaderAccessor;
import org.springframework.messaging.simp.SimpMessagingTemplate;
import org.springframework.messaging.simp.annotation.SendToUser;
import org.springframework.messaging.simp.broker.BrokerAvailabilityEvent;
import org.springframework.messaging.simp.config.MessageBrokerRegistry;
import org.springframework.stereotype.Controller;
import org.springframework.web.socket.WebSocketHandler;
import org.springframework.web.socket.config.annotation.EnableWebSocketMessageBroker;
import org.springframework.web.socket.config.annotation.StompEndpointRegistry;
import org.springframework.web.socket.config.annotation.WebSocketMessageBrokerConfigurer;
import org.springframework.web.socket.messaging.SessionConnectedEvent;
import org.springframework.web.socket.server.support.DefaultHandshakeHandler;
import org.springframework.web.util.UriComponentsBuilder;

/** A Spring Boot application with Spring's STOMP broker relay to TreadMQ, on a free port of its own. */
final class SpringServer implements AutoCloseable {
    private final WebServerApplicationContext context;
    private final Events events;

    SpringServer() {
        context = (WebServerApplicationContext) new SpringApplicationBuilder(App.class).properties(Map.of(
            "server.address", "127.0.0.1", "server.port", "0", "server.shutdown", "immediate",
            "spring.main.banner-mode", "off")).run();
        events = context.getBean(Events.class);
    }

    int port() {
        return context.getWebServer().getPort();
    }

    SimpMessagingTemplate template() {
        return context.getBean(SimpMessagingTemplate.class);
    }

    /** Waits for the next news of the relay: true when it reached the broker, false when it lost it, or null. */
    Boolean availability() throws InterruptedException {
        return events.availability.poll(Steps.PATIENCE, TimeUnit.MILLISECONDS);
    }

    boolean lost() {
        return Boolean.FALSE.equals(events.availability.peek());
    }

    /** The id of the user's newest session. */
    String session(String user) {
        return events.sessions.get(user);
    }

    @Override
    public void close() {
        ((org.springframework.context.ConfigurableApplicationContext) context).close();
    }

    @Configuration(proxyBeanMethods = false)
    @EnableAutoConfiguration
    @EnableWebSocketMessageBroker
    @Import({Greeter.class, Events.class})
    static class App implements WebSocketMessageBrokerConfigurer {
        @Override
        public void configureMessageBroker(MessageBrokerRegistry registry) {
            registry.setApplicationDestinationPrefixes("/app");
            registry.enableStompBrokerRelay("/queue", "/topic")
                .setRelayHost(Steps.host()).setRelayPort(Steps.port())
                .setSystemLogin(Steps.login()).setSystemPasscode(Steps.passcode())
                .setClientLogin(Steps.login()).setClientPasscode(Steps.passcode())
                .setUserDestinationBroadcast("/topic/spring.unresolved-user")
                .setUserRegistryBroadcast("/topic/spring.user-registry");
        }

        @Override
        public void registerStompEndpoints(StompEndpointRegistry registry) {
            registry.addEndpoint("/ws").setHandshakeHandler(new Named());
        }
    }

    /** Takes the user's name from the URL: who may be whom is not what this is about. */
    private static final class Named extends DefaultHandshakeHandler {
        @Override
        protected Principal determineUser(ServerHttpRequest request, WebSocketHandler handler, Map<String, Object> attributes) {
            String name = UriComponentsBuilder.fromUri(request.getURI()).build().getQueryParams().getFirst("user");
            return () -> name;
        }
    }

    @Controller
    static class Greeter {
        @MessageMapping("/greet")
        @SendTo("/topic/spring.greetings")
        String greet(String name) {
            return "Hello, " + name;
        }

        @MessageMapping("/whoami")
        @SendToUser("/queue/spring.replies")
        String whoami(Principal user) {
            return "you are " + user.getName();
        }
    }

    static class Events {
        final BlockingQueue<Boolean> availability = new LinkedBlockingQueue<>();
        final Map<String, String> sessions = new ConcurrentHashMap<>(); // user to session

        @EventListener
        void availability(BrokerAvailabilityEvent event) {
            availability.add(event.isBrokerAvailable());
        }

        @EventListener
        void connected(SessionConnectedEvent event) {
            sessions.put(event.getUser().getName(), SimpMessageHeaderAccessor.getSessionId(event.getMessage().getHeaders()));
        }
    }
}

package treadmq.clients;

import java.io.BufferedReader;
import java.io.InputStreamReader;
import java.nio.charset.StandardCharsets;
import java.util.LinkedHashMap;
import java.util.Map;
import java.util.Objects;

/** The steps of a program, in order, and how it talks to the test that runs it: see ../doc.go of the Go package. */
final class Steps {
    static final long PATIENCE = 30_000; // ms before a step that hangs gives up

    private static final BufferedReader STDIN = new BufferedReader(new InputStreamReader(System.in, StandardCharsets.UTF_8));

    private final Map<String, Step> steps = new LinkedHashMap<>();

    interface Step {
        void run() throws Exception;
    }

    void add(String name, Step step) {
        steps.put(name, step);
    }

    /** Runs all steps and ends the process, as libraries leave threads behind and hooks that wait for them. */
    void run() {
        for (Map.Entry<String, Step> step : steps.entrySet()) {
            try {
                step.getValue().run();
            } catch (Throwable failure) {
                System.err.print(step.getKey() + ": ");
                failure.printStackTrace();
                Runtime.getRuntime().halt(1);
            }
            System.out.println("ok " + step.getKey());
        }
        System.out.println("done");
        Runtime.getRuntime().halt(0);
    }

    /** Asks the test for something and waits until it is done. */
    static void ask(String line) throws Exception {
        System.out.println(line);
        equal("answer to " + line, STDIN.readLine(), "done");
    }

    static void equal(String what, Object got, Object want) {
        if (!Objects.equals(got, want)) {
            throw new AssertionError(what + " is " + got + ", not " + want);
        }
    }

    static String host() {
        return System.getenv("STOMP_HOST");
    }

    static int port() {
        return Integer.parseInt(System.getenv("STOMP_PORT"));
    }

    static String login() {
        return System.getenv("STOMP_LOGIN");
    }

    static String passcode() {
        return System.getenv("STOMP_PASSCODE");
    }
}

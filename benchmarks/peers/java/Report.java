import java.io.IOException;

/** What a peer tells the benchmark on its standard output: when it begins to read, when its work is done, its cells. */
final class Report {
    private static boolean begun;

    private Report() {}

    static synchronized void begin() {
        if (!begun) {
            begun = true;
            say("begin");
        }
    }

    /** One cell: the window's beginning, milliseconds since 1970; the sum in mJ; the number of rows. */
    static void cell(long window, int area, String className, long sum, long rows) {
        say("cell " + window + " " + area + " " + className + " " + sum + " " + rows);
    }

    /** Its work is done. Waits until the benchmark has read what the process used. */
    static void end() throws IOException {
        say("end");
        while (System.in.read() >= 0) {
            // nothing is sent
        }
    }

    /** It has given all cells. */
    static void done() {
        say("done");
    }

    private static void say(String line) {
        System.out.println(line);
        System.out.flush();
    }
}

import java.nio.ByteBuffer;
import java.nio.ByteOrder;
import java.nio.charset.StandardCharsets;

/**
 * A message of energy readings, read without a copy: five bytes of Confluent's wire format, the header fields of
 * schemas/avro/energy.readings.v2.avsc, then the rows, 21 bytes each. An object may be used for one message after
 * another.
 */
final class Batch {
    static final long HOUR_MS = 3_600_000;
    static final String[] CLASSES = {"residential", "commercial"};
    private static final int ROW = 21;
    private static final byte[][] NAMES = new byte[CLASSES.length][];

    static {
        for (int i = 0; i < CLASSES.length; i++) {
            NAMES[i] = CLASSES[i].getBytes(StandardCharsets.UTF_8);
        }
    }

    int area;
    int classNumber;
    long start;
    int rows;
    private ByteBuffer bytes;
    private int first;

    /** Reads the header; without rows, the message is a tick. */
    void read(byte[] message) {
        bytes = ByteBuffer.wrap(message).order(ByteOrder.LITTLE_ENDIAN);
        bytes.position(5);
        skipText();
        area = (int) varint();
        classNumber = classOf();
        varint(); // the interval
        start = varint();
        skipText();
        rows = (int) varint();
        first = bytes.position();
        if (rows < 0 || (rows > 0 && first + rows * ROW + 1 != message.length)) {
            throw new IllegalArgumentException("the rows are not one block");
        }
    }

    long source(int row) {
        return bytes.getInt(first + row * ROW) & 0xffffffffL;
    }

    long contributor(int row) {
        return bytes.getInt(first + row * ROW + 4) & 0xffffffffL;
    }

    /** Milliseconds since 1970. */
    long time(int row) {
        return start + (long) bytes.getFloat(first + row * ROW + 8);
    }

    /** In mJ. */
    long value(int row) {
        return (long) bytes.getDouble(first + row * ROW + 12);
    }

    private int classOf() {
        int length = (int) varint();
        int at = bytes.position();
        bytes.position(at + length);
        for (int i = 0; i < NAMES.length; i++) {
            if (NAMES[i].length == length && NAMES[i][0] == bytes.get(at)) {
                return i;
            }
        }
        throw new IllegalArgumentException("a class that the benchmark does not have");
    }

    private void skipText() {
        int length = (int) varint();
        bytes.position(bytes.position() + length);
    }

    private long varint() {
        long value = 0;
        for (int shift = 0; ; shift += 7) {
            byte next = bytes.get();
            value |= (next & 0x7fL) << shift;
            if (next >= 0) {
                return (value >>> 1) ^ -(value & 1);
            }
        }
    }
}

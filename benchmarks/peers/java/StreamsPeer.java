import java.nio.ByteBuffer;
import java.time.Duration;
import java.util.Map;
import java.util.Properties;
import java.util.TreeMap;
import java.util.concurrent.CountDownLatch;
import org.apache.kafka.clients.consumer.ConsumerConfig;
import org.apache.kafka.common.serialization.Serde;
import org.apache.kafka.common.serialization.Serdes;
import org.apache.kafka.streams.KafkaStreams;
import org.apache.kafka.streams.StreamsBuilder;
import org.apache.kafka.streams.StreamsConfig;
import org.apache.kafka.streams.kstream.Consumed;
import org.apache.kafka.streams.kstream.Grouped;
import org.apache.kafka.streams.kstream.Materialized;
import org.apache.kafka.streams.kstream.TimeWindows;
import org.apache.kafka.streams.processor.api.ContextualFixedKeyProcessor;
import org.apache.kafka.streams.processor.api.FixedKeyRecord;
import org.apache.kafka.streams.state.Stores;

/**
 * Kafka Streams: sum and number of rows by hour, area and class. Arguments: bootstrap, topic, application, folder,
 * readings, messages or rows.
 *
 * <p>The key of a message is its area, so there is no repartition topic. The state is in memory, with its cache and
 * its changelog. With "rows", every row goes through the topology by itself; with "messages", the rows of a message
 * that lie in one hour are added up before, which a sum allows.
 */
public final class StreamsPeer {
    private static final String STORE = "cells";

    /** Sum and number of rows of each class. */
    record Cell(long[] sums, long[] rows) {
        Cell() {
            this(new long[Batch.CLASSES.length], new long[Batch.CLASSES.length]);
        }

        Cell plus(int classNumber, long sum, long count) {
            sums[classNumber] += sum;
            rows[classNumber] += count;
            return this;
        }

        byte[] bytes() {
            ByteBuffer bytes = ByteBuffer.allocate(16 * sums.length);
            for (int i = 0; i < sums.length; i++) {
                bytes.putLong(sums[i]).putLong(rows[i]);
            }
            return bytes.array();
        }

        static Cell of(byte[] written) {
            Cell cell = new Cell();
            ByteBuffer bytes = ByteBuffer.wrap(written);
            for (int i = 0; i < cell.sums.length; i++) {
                cell.sums[i] = bytes.getLong();
                cell.rows[i] = bytes.getLong();
            }
            return cell;
        }
    }

    /** A row, or the rows of a message in one hour. */
    record Part(int classNumber, long sum, long rows) {}

    /** Forwards what a message holds with the times of its rows, and counts the rows. */
    static final class Unpack extends ContextualFixedKeyProcessor<String, byte[], Part> {
        private final Batch batch = new Batch();
        private final boolean single;
        private final CountDownLatch done;
        private final long wanted;
        private static long seen;

        Unpack(boolean single, long wanted, CountDownLatch done) {
            this.single = single;
            this.wanted = wanted;
            this.done = done;
        }

        @Override
        public void process(FixedKeyRecord<String, byte[]> record) {
            batch.read(record.value());
            int row = 0;
            while (row < batch.rows) {
                long time = batch.time(row);
                long sum = batch.value(row);
                int next = row + 1;
                if (!single) {
                    long until = (Math.floorDiv(time, Batch.HOUR_MS) + 1) * Batch.HOUR_MS;
                    while (next < batch.rows && batch.time(next) >= time && batch.time(next) < until) {
                        sum += batch.value(next++);
                    }
                }
                context().forward(record.withValue(new Part(batch.classNumber, sum, next - row)).withTimestamp(time));
                row = next;
            }
            count(batch.rows);
        }

        private void count(int rows) {
            synchronized (Unpack.class) {
                seen += rows;
                if (seen >= wanted) {
                    done.countDown();
                }
            }
        }
    }

    public static void main(String[] arguments) throws Exception {
        String topic = arguments[1];
        long readings = Long.parseLong(arguments[4]);
        boolean single = arguments[5].equals("rows");
        CountDownLatch done = new CountDownLatch(1);
        Map<String, Cell> cells = new TreeMap<>();
        Serde<Cell> serde = Serdes.serdeFrom((t, cell) -> cell.bytes(), (t, bytes) -> bytes == null ? null : Cell.of(bytes));
        StreamsBuilder builder = new StreamsBuilder();
        builder.stream(topic, Consumed.with(Serdes.String(), Serdes.ByteArray()))
                .processValues(() -> new Unpack(single, readings, done))
                .groupByKey(Grouped.keySerde(Serdes.String()))
                .windowedBy(TimeWindows.ofSizeAndGrace(Duration.ofHours(1), Duration.ofHours(1)))
                .aggregate(
                        Cell::new,
                        (area, part, cell) -> cell.plus(part.classNumber(), part.sum(), part.rows()),
                        Materialized.<String, Cell>as(
                                        Stores.inMemoryWindowStore(
                                                STORE, Duration.ofHours(3), Duration.ofHours(1), false))
                                .withKeySerde(Serdes.String())
                                .withValueSerde(serde)
                                .withCachingEnabled())
                .toStream()
                .foreach((key, cell) -> {
                    synchronized (cells) {
                        cells.put(key.window().start() + " " + key.key(), cell);
                    }
                });
        KafkaStreams streams = new KafkaStreams(builder.build(), settings(arguments[0], arguments[2], arguments[3]));
        streams.setStateListener((now, before) -> {
            if (now == KafkaStreams.State.RUNNING) {
                Report.begin();
            }
        });
        streams.start();
        done.await();
        streams.close(); // commits: the cache goes to the state, its changelog and the map
        Report.end();
        cells.forEach((name, cell) -> {
            String[] parts = name.split(" ");
            for (int i = 0; i < Batch.CLASSES.length; i++) {
                Report.cell(Long.parseLong(parts[0]), Integer.parseInt(parts[1]), Batch.CLASSES[i], cell.sums[i], cell.rows[i]);
            }
        });
        Report.done();
        System.exit(0);
    }

    private static Properties settings(String bootstrap, String application, String folder) {
        Properties settings = new Properties();
        settings.put(StreamsConfig.BOOTSTRAP_SERVERS_CONFIG, bootstrap);
        settings.put(StreamsConfig.APPLICATION_ID_CONFIG, application);
        settings.put(StreamsConfig.STATE_DIR_CONFIG, folder);
        settings.put(StreamsConfig.NUM_STREAM_THREADS_CONFIG, 1);
        settings.put(StreamsConfig.consumerPrefix(ConsumerConfig.AUTO_OFFSET_RESET_CONFIG), "earliest");
        settings.put(StreamsConfig.consumerPrefix(ConsumerConfig.MAX_POLL_RECORDS_CONFIG), 5000);
        settings.put(StreamsConfig.consumerPrefix(ConsumerConfig.MAX_PARTITION_FETCH_BYTES_CONFIG), 4 << 20);
        return settings;
    }
}

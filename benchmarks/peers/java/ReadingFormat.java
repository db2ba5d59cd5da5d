import java.util.Set;
import org.apache.flink.api.common.serialization.DeserializationSchema;
import org.apache.flink.api.common.typeinfo.TypeInformation;
import org.apache.flink.configuration.ConfigOption;
import org.apache.flink.configuration.ReadableConfig;
import org.apache.flink.table.connector.ChangelogMode;
import org.apache.flink.table.connector.format.DecodingFormat;
import org.apache.flink.table.connector.source.DynamicTableSource;
import org.apache.flink.table.data.GenericRowData;
import org.apache.flink.table.data.RowData;
import org.apache.flink.table.data.StringData;
import org.apache.flink.table.data.TimestampData;
import org.apache.flink.table.factories.DeserializationFormatFactory;
import org.apache.flink.table.factories.DynamicTableFactory;
import org.apache.flink.table.types.DataType;
import org.apache.flink.util.Collector;

/**
 * The format "city-batch" of Flink's tables: a message is a batch of readings, each of which becomes a row (area INT,
 * class STRING, source BIGINT, contributor BIGINT, start TIMESTAMP_LTZ(3), value BIGINT). Flink's own formats read a
 * message as one row.
 */
public final class ReadingFormat implements DeserializationFormatFactory {
    @Override
    public String factoryIdentifier() {
        return "city-batch";
    }

    @Override
    public Set<ConfigOption<?>> requiredOptions() {
        return Set.of();
    }

    @Override
    public Set<ConfigOption<?>> optionalOptions() {
        return Set.of();
    }

    @Override
    public DecodingFormat<DeserializationSchema<RowData>> createDecodingFormat(
            DynamicTableFactory.Context context, ReadableConfig options) {
        return new DecodingFormat<>() {
            @Override
            public DeserializationSchema<RowData> createRuntimeDecoder(
                    DynamicTableSource.Context source, DataType physical) {
                return new Rows(source.createTypeInformation(physical));
            }

            @Override
            public ChangelogMode getChangelogMode() {
                return ChangelogMode.insertOnly();
            }
        };
    }

    /** One row object for all readings: the operators that are chained to the source keep none (object reuse). */
    static final class Rows implements DeserializationSchema<RowData> {
        private final TypeInformation<RowData> produced;
        private transient Batch batch;
        private transient GenericRowData row;
        private transient StringData[] classes;

        Rows(TypeInformation<RowData> produced) {
            this.produced = produced;
        }

        @Override
        public void open(InitializationContext context) {
            batch = new Batch();
            row = new GenericRowData(6);
            classes = new StringData[Batch.CLASSES.length];
            for (int i = 0; i < classes.length; i++) {
                classes[i] = StringData.fromString(Batch.CLASSES[i]);
            }
            Report.begin();
        }

        @Override
        public void deserialize(byte[] message, Collector<RowData> out) {
            batch.read(message);
            row.setField(0, batch.area);
            row.setField(1, classes[batch.classNumber]);
            for (int i = 0; i < batch.rows; i++) {
                row.setField(2, batch.source(i));
                row.setField(3, batch.contributor(i));
                row.setField(4, TimestampData.fromEpochMillis(batch.time(i)));
                row.setField(5, batch.value(i));
                out.collect(row);
            }
        }

        @Override
        public RowData deserialize(byte[] message) {
            throw new UnsupportedOperationException("a message has several rows");
        }

        @Override
        public boolean isEndOfStream(RowData next) {
            return false;
        }

        @Override
        public TypeInformation<RowData> getProducedType() {
            return produced;
        }
    }
}

import java.nio.file.Files;
import java.nio.file.Path;
import org.apache.flink.configuration.Configuration;
import org.apache.flink.table.api.EnvironmentSettings;
import org.apache.flink.table.api.TableEnvironment;
import org.apache.flink.table.api.TableResult;
import org.apache.flink.types.Row;
import org.apache.flink.util.CloseableIterator;

/**
 * Flink SQL in a mini cluster within this process: sum and number of rows by hour, area and class, written to a
 * database. Arguments: bootstrap, topic, group, the file of the statements, the time between checkpoints or "none", and
 * the database's JDBC address, user and password. Statements are divided by a line with a semicolon alone; the last is
 * the query that reads the cells.
 */
public final class FlinkPeer {
    public static void main(String[] arguments) throws Exception {
        Configuration settings = new Configuration();
        settings.setString("pipeline.object-reuse", "true");
        settings.setString("parallelism.default", "1");
        settings.setString("table.local-time-zone", "UTC");
        settings.setString("taskmanager.memory.managed.size", "256m");
        if (!arguments[4].equals("none")) {
            settings.setString("execution.checkpointing.interval", arguments[4]);
        }
        settings.setString("rest.bind-port", "0");
        settings.setString("restart-strategy.type", "none"); // a fault ends the run
        TableEnvironment tables = TableEnvironment.create(
                EnvironmentSettings.newInstance().inStreamingMode().withConfiguration(settings).build());
        String[] statements = Files.readString(Path.of(arguments[3]))
                .replace("{bootstrap}", arguments[0])
                .replace("{topic}", arguments[1])
                .replace("{group}", arguments[2])
                .replace("{database}", arguments[5])
                .replace("{user}", arguments[6])
                .replace("{password}", arguments[7])
                .split("\n;\n");
        for (int i = 0; i < statements.length - 1; i++) {
            TableResult done = tables.executeSql(statements[i]);
            if (statements[i].startsWith("INSERT")) {
                done.await();
            }
        }
        Report.end();
        TableResult result = tables.executeSql(statements[statements.length - 1]);
        try (CloseableIterator<Row> rows = result.collect()) {
            while (rows.hasNext()) {
                Row row = rows.next();
                Report.cell(
                        (long) row.getField(0), (int) row.getField(1), (String) row.getField(2), (long) row.getField(3),
                        (long) row.getField(4));
            }
        }
        Report.done();
        System.exit(0);
    }
}

import java.sql.Connection;
import java.sql.DatabaseMetaData;
import java.sql.DriverManager;
import java.sql.PreparedStatement;
import java.sql.ResultSet;
import java.sql.ResultSetMetaData;
import java.sql.SQLException;
import java.sql.Statement;
import java.util.ArrayList;
import java.util.List;
import java.util.Properties;

/** What a JDBC user does. Prints one line for each result; the test compares them. Args: host:port, token. */
public final class JdbcTest {
    public static void main(String[] args) throws Exception {
        Properties properties = new Properties();
        properties.put("useEncryption", "false");
        if (!args[1].isEmpty()) {
            properties.put("token", args[1]);
        }
        String url = "jdbc:arrow-flight-sql://" + args[0];
        try (Connection connection = DriverManager.getConnection(url, properties)) {
            rows(connection);
            prepared(connection);
            metadata(connection);
            mistake(connection);
        }
    }

    private static void rows(Connection connection) throws SQLException {
        String sql = "SELECT n, half, ok, message, \"timestamp\" FROM people ORDER BY n LIMIT 3";
        try (Statement statement = connection.createStatement();
                ResultSet rows = statement.executeQuery(sql)) {
            ResultSetMetaData columns = rows.getMetaData();
            List<String> names = new ArrayList<>();
            for (int i = 1; i <= columns.getColumnCount(); i++) {
                names.add(columns.getColumnLabel(i));
            }
            System.out.println("columns " + String.join(",", names));
            while (rows.next()) {
                System.out.println("row " + rows.getLong(1) + " " + rows.getDouble(2) + " "
                    + rows.getBoolean(3) + " " + rows.getString(4) + " "
                    + rows.getTimestamp(5).toInstant());
            }
        }
    }

    private static void prepared(Connection connection) throws SQLException {
        String sql = "SELECT count(*) FROM people WHERE service = $1 AND n >= $2";
        try (PreparedStatement statement = connection.prepareStatement(sql)) {
            for (long from : new long[] {0, 90}) {
                statement.setString(1, "s1");
                statement.setLong(2, from);
                try (ResultSet rows = statement.executeQuery()) {
                    rows.next();
                    System.out.println("prepared " + from + " " + rows.getLong(1));
                }
            }
        }
    }

    private static void metadata(Connection connection) throws SQLException {
        DatabaseMetaData metadata = connection.getMetaData();
        System.out.println("product " + metadata.getDatabaseProductName());
        try (ResultSet tables = metadata.getTables(null, "public", "people", null)) {
            while (tables.next()) {
                System.out.println("table " + tables.getString("TABLE_SCHEM") + "." + tables.getString("TABLE_NAME"));
            }
        }
        try (ResultSet columns = metadata.getColumns(null, "public", "people", "message")) {
            while (columns.next()) {
                System.out.println("column " + columns.getString("COLUMN_NAME") + " " + columns.getInt("DATA_TYPE"));
            }
        }
        try (ResultSet schemas = metadata.getSchemas()) {
            while (schemas.next()) {
                System.out.println("schema " + schemas.getString("TABLE_SCHEM"));
            }
        }
    }

    private static void mistake(Connection connection) throws SQLException {
        try (Statement statement = connection.createStatement()) {
            statement.executeQuery("SELECT nam FROM people");
            System.out.println("mistake none");
        } catch (SQLException error) {
            System.out.println("mistake " + error.getMessage().replace('\n', ' '));
        }
    }
}

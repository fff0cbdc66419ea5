import org.neo4j.harness.Neo4jBuilders;

/** A Neo4j server for tests: says where it listens, ends with its standard input. */
class Serve {
    public static void main(String[] arguments) throws Exception {
        try (var neo4j = Neo4jBuilders.newInProcessBuilder().withDisabledServer().build()) {
            System.out.println(neo4j.boltURI());
            while (System.in.read() >= 0) {}
        }
    }
}

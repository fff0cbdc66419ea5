// PostgreSQL with Apache AGE in this process; says its port, ends with its standard input.
import { PGlite } from "@electric-sql/pglite";
import { age } from "@electric-sql/pglite-age";
import { PGLiteSocketServer } from "@electric-sql/pglite-socket";

const TERMINATE = "5800000004";

const db = await PGlite.create({ extensions: { age } });
const server = new PGLiteSocketServer({ db, port: 0, maxConnections: 20 });
server.addEventListener("listening", ({ detail }) => console.log(detail.port));
await server.start();
// It doesn't hang up on a client that says good-bye.
server.server.on("connection", (socket) =>
  socket.on("data", (data) => data.toString("hex") === TERMINATE && socket.destroy()),
);
process.stdin.on("end", () => process.exit()).resume();

// Builds the pages into a folder:  node build.mjs FOLDER

import { build } from "vite";

const root = new URL("pages", import.meta.url).pathname;
const input = ["sdk", "react"].map((page) => `${root}/${page}.html`);
await build({
  root,
  configFile: false,
  logLevel: "error",
  build: { outDir: process.argv[2], emptyOutDir: true, rolldownOptions: { input } },
});

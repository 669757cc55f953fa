// Posts a file with node's fetch and prints the status.
import { readFileSync } from "node:fs";
const [url, key, file] = process.argv.slice(2);
const answer = await fetch(url, {
  method: "POST", headers: { "x-api-key": key, "content-type": "application/json" }, body: readFileSync(file),
});
console.log(answer.status);

// Reads {"name": "T-SQL statement", …} from standard input, and fails if a parser doesn't understand one of them. It
// says no more than that: the parser is lenient, and only a SQL Server knows what the statements do.
import { readFileSync } from 'node:fs';
import parser from 'node-sql-parser/build/transactsql.js';

const { Parser } = parser;
const statements = Object.entries(JSON.parse(readFileSync(0, 'utf8')));
let failed = statements.length === 0;
for (const [name, text] of statements) {
  try {
    new Parser().astify(text, { database: 'transactsql' });
  } catch (error) {
    failed = true;
    console.error(`${name}: ${text}\n  ${error.message}`);
  }
}
process.exit(failed ? 1 : 0);

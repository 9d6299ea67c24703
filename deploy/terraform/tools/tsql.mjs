// Reads a T-SQL script from standard input, and fails with what a parser (ANTLR's grammar of T-SQL) does not understand in it. It
// says no more than that: only a SQL Server knows what the script does.
import { readFileSync } from 'node:fs';
import { createRequire } from 'node:module';

const require = createRequire(new URL('../../site/package.json', import.meta.url));
const { CharStreams, CommonTokenStream } = require('antlr4ts');
const grammar = 'antlr4ts-sql/dist/src/grammar-output/tsql/';
const { TSqlLexer } = require(`${grammar}TSqlLexer`);
const { TSqlParser } = require(`${grammar}TSqlParser`);

const complaints = [];
const listener = { syntaxError: (recognizer, symbol, line, column, message) => complaints.push(`${line}:${column} ${message.slice(0, 100)}`) };
const lexer = new TSqlLexer(CharStreams.fromString(readFileSync(0, 'utf8').toUpperCase())); // the grammar knows capitals only
const parser = new TSqlParser(new CommonTokenStream(lexer));
for (const reader of [lexer, parser]) {
  reader.removeErrorListeners();
  reader.addErrorListener(listener);
}
const file = parser.tsql_file();
if (file.childCount < 2) complaints.push('it is empty');
for (const complaint of complaints) console.error(complaint);
process.exit(complaints.length > 0 ? 1 : 0);

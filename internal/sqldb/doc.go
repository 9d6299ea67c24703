// Package sqldb opens the SQL databases that Causeway keeps something in: SQLite for one
// machine, PostgreSQL for several, Azure SQL where that is what there is.
//
//	sqlite:/path/file.db                                a file; sqlite: alone is Config.File
//	postgres://user:{env:PGPASSWORD}@host/db?sslmode=verify-full
//	sqlserver://host.database.windows.net?database=db&fedauth=ActiveDirectoryManagedIdentity
//
// The URL is a reference to a secret as a whole, or holds references in braces; a password that
// stands in it literally is refused. Entra ID logs in by fedauth, without any secret.
//
// Those who store something write standard SQL with ? for parameters, and go through Rebind; the
// little that differs between the databases is a Dialect. Their tables are made by migrations, one
// folder a dialect, with a table of versions for each user of the database, so that statistics
// and budgets can share one. Migrations are taken under a lock, since several processes start at once;
// where nothing is pending no right to change the schema is needed.
//
// Open touches no network: a server starts, and serves, while its database is away.
//
// What is proved: SQLite and PostgreSQL run the suites of those who use them. T-SQL can't be run
// here; a parser checks the syntax of every statement and migration, and that is all.
package sqldb

#include "emulator/sqlite.h"

#include <sqlite3.h>

namespace cloister::emulator {

namespace {

// SQLite's own messages name tables and columns, never values.
std::unexpected<Error> fail_sqlite(sqlite3* handle, std::string_view what) {
  int code = sqlite3_errcode(handle) & 0xFF;
  auto kind = code == SQLITE_BUSY                               ? ErrorKind::unavailable
              : code == SQLITE_FULL                             ? ErrorKind::exhausted
              : code == SQLITE_CORRUPT || code == SQLITE_NOTADB ? ErrorKind::corrupt
                                                                : ErrorKind::system;
  return fail(kind, "{}: {}", what, sqlite3_errmsg(handle));
}

Status check_bind(sqlite3_stmt* statement, int code) {
  if (code != SQLITE_OK) return fail_sqlite(sqlite3_db_handle(statement), "bind a value");
  return {};
}

}  // namespace

void Query::Finalize::operator()(sqlite3_stmt* statement) const {
  sqlite3_finalize(statement);
}
void Database::Close::operator()(sqlite3* handle) const {
  sqlite3_close(handle);
}

Result<bool> Query::next() {
  int code = sqlite3_step(statement_.get());
  if (code == SQLITE_ROW) return true;
  if (code == SQLITE_DONE) return false;
  return fail_sqlite(sqlite3_db_handle(statement_.get()), "database");
}

std::string Query::text(int column) const {
  auto bytes = blob(column);
  return std::string(as_text(bytes));
}

Bytes Query::blob(int column) const {
  const auto* data = static_cast<const std::uint8_t*>(sqlite3_column_blob(statement_.get(), column));
  auto size = static_cast<std::size_t>(sqlite3_column_bytes(statement_.get(), column));
  if (data == nullptr) return {};
  return {data, data + size};
}

std::int64_t Query::integer(int column) const {
  return sqlite3_column_int64(statement_.get(), column);
}
bool Query::is_null(int column) const {
  return sqlite3_column_type(statement_.get(), column) == SQLITE_NULL;
}

Status Query::bind(int parameter, std::string_view value) {
  return check_bind(statement_.get(), sqlite3_bind_text64(statement_.get(), parameter, value.data(),
                                                          value.size(), SQLITE_TRANSIENT, SQLITE_UTF8));
}

Status Query::bind(int parameter, ByteView value) {
  return check_bind(statement_.get(), sqlite3_bind_blob64(statement_.get(), parameter, value.data(),
                                                          value.size(), SQLITE_TRANSIENT));
}

Status Query::bind(int parameter, std::int64_t value) {
  return check_bind(statement_.get(), sqlite3_bind_int64(statement_.get(), parameter, value));
}

Status Query::bind(int parameter, const std::optional<std::string>& value) {
  if (value) return bind(parameter, std::string_view(*value));
  return check_bind(statement_.get(), sqlite3_bind_null(statement_.get(), parameter));
}

Result<Database> Database::open(const std::string& path, bool create) {
  sqlite3* raw = nullptr;
  int flags = SQLITE_OPEN_READWRITE | SQLITE_OPEN_FULLMUTEX | (create ? SQLITE_OPEN_CREATE : 0);
  int code = sqlite3_open_v2(path.c_str(), &raw, flags, nullptr);
  Database database(raw);
  if (code != SQLITE_OK) return fail(ErrorKind::system, "open {}: {}", path, sqlite3_errstr(code));
  sqlite3_busy_timeout(raw, kBusyTimeoutMs);
  TRY(database.run("PRAGMA journal_mode=WAL").context(path));
  TRY(database.run("PRAGMA synchronous=FULL"));
  TRY(database.run("PRAGMA foreign_keys=ON"));
  TRY(database.run("PRAGMA secure_delete=ON"));  // deleted keys are overwritten
  return database;
}

Result<Query> Database::prepare(std::string_view sql) {
  sqlite3_stmt* statement = nullptr;
  if (sqlite3_prepare_v2(handle_.get(), sql.data(), static_cast<int>(sql.size()), &statement, nullptr) !=
      SQLITE_OK) {
    return fail_sqlite(handle_.get(), "prepare a statement");
  }
  return Query(statement);
}

int Database::changes() const {
  return sqlite3_changes(handle_.get());
}

Result<Transaction> Transaction::begin(Database& database) {
  TRY(database.run("BEGIN IMMEDIATE"));
  return Transaction(database);
}

Transaction::~Transaction() {
  // What cannot be rolled back here is when the connection closes.
  if (database_ != nullptr) [[maybe_unused]]
    auto ignored = database_->run("ROLLBACK");
}

Status Transaction::commit() {
  TRY(database_->run("COMMIT"));
  database_ = nullptr;
  return {};
}

}  // namespace cloister::emulator

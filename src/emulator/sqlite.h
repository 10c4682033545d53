// SQLite behind a typed seam: prepared statements only, values bound, never spliced into SQL.
#pragma once

#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <string_view>

#include "base/bytes.h"

struct sqlite3;
struct sqlite3_stmt;

namespace cloister::emulator {

inline constexpr int kBusyTimeoutMs = 10'000;  // waiting for another process's transaction

// A running statement: rows come with next(), columns count from 0. Must not outlive its Database.
class Query {
 public:
  explicit Query(sqlite3_stmt* statement) : statement_(statement) {}

  // Whether there is another row.
  Result<bool> next();
  std::string text(int column) const;
  Bytes blob(int column) const;
  std::int64_t integer(int column) const;
  bool is_null(int column) const;

  Status bind(int parameter, std::string_view value);  // parameters count from 1
  Status bind(int parameter, ByteView value);
  Status bind(int parameter, std::int64_t value);
  Status bind(int parameter, const std::optional<std::string>& value);

 private:
  struct Finalize {
    void operator()(sqlite3_stmt* statement) const;
  };
  std::unique_ptr<sqlite3_stmt, Finalize> statement_;
};

// One connection. One thread at a time.
class Database {
 public:
  // The file must exist unless `create`. WAL, synchronous=FULL: what is committed survives the loss of
  // process and of power.
  static Result<Database> open(const std::string& path, bool create);

  template <class... Values>
  Result<Query> query(std::string_view sql, const Values&... values) {
    auto query = TRY(prepare(sql));
    int parameter = 0;
    Status bound;
    ((bound = bound ? query.bind(++parameter, values) : std::move(bound)), ...);
    if (!bound) return std::unexpected(std::move(bound).error());
    return query;
  }
  // A statement that answers no rows.
  template <class... Values>
  Status run(std::string_view sql, const Values&... values) {
    auto query = TRY(this->query(sql, values...));
    TRY(query.next());
    return {};
  }
  // Rows that the last statement changed.
  int changes() const;

 private:
  struct Close {
    void operator()(sqlite3* handle) const;
  };
  explicit Database(sqlite3* handle) : handle_(handle) {}
  Result<Query> prepare(std::string_view sql);
  std::unique_ptr<sqlite3, Close> handle_;
};

// Rolled back when dropped without commit().
class Transaction {
 public:
  static Result<Transaction> begin(Database& database);
  Transaction(Transaction&& other) noexcept : database_(other.database_) { other.database_ = nullptr; }
  Transaction& operator=(Transaction&&) = delete;
  ~Transaction();
  Status commit();

 private:
  explicit Transaction(Database& database) : database_(&database) {}
  Database* database_;
};

}  // namespace cloister::emulator

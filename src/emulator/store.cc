#include "emulator/store.h"

#include <charconv>

#include "crypto/digest.h"
#include "emulator/uuid.h"
#include "emulator/wrapping.h"

namespace cloister::emulator {

namespace {

constexpr std::string_view kCheckName = "master-check";
constexpr std::size_t kMasterSize = 32;  // bytes

}  // namespace

Result<std::unique_ptr<Store>> Store::create(const std::string& path, Secret master,
                                             const Settings& settings) {
  if (master.size() != kMasterSize)
    return fail(ErrorKind::invalid, "the master key is not {} bytes", kMasterSize);
  auto database = TRY(Database::open(path, true));
  std::unique_ptr<Store> store(new Store(std::move(database), std::move(master)));
  auto transaction = TRY(Transaction::begin(store->database_));
  TRY(store->create_schema().context(path));
  TRY(store->ensure_principal_schema().context(path));
  TRY(store->save_settings(settings));
  TRY(transaction.commit());
  store->settings_ = settings;
  TRY(store->load_next_event());
  return store;
}

Result<std::unique_ptr<Store>> Store::open(const std::string& path, Secret master) {
  if (master.size() != kMasterSize)
    return fail(ErrorKind::corrupt, "the master key is not {} bytes", kMasterSize);
  auto database = TRY(Database::open(path, false));
  std::unique_ptr<Store> store(new Store(std::move(database), std::move(master)));
  TRY(store->load_settings().context(path));
  TRY(store->ensure_principal_schema().context(path));
  TRY(store->load_next_event().context(path));
  return store;
}

Status Store::save_settings(const Settings& settings) {
  constexpr std::string_view kInsert = "INSERT INTO meta (name, value) VALUES (?, ?)";
  TRY(database_.run(kInsert, std::string_view("region"), as_bytes(settings.region)));
  TRY(database_.run(kInsert, std::string_view("account"), as_bytes(settings.account)));
  TRY(database_.run(kInsert, std::string_view("port"), as_bytes(std::to_string(settings.port))));
  auto check = wrap_secret(master_, kCheckName, Secret(as_bytes(kCheckName)));
  return database_.run(kInsert, kCheckName, ByteView(check));
}

Status Store::load_settings() {
  if (!unwrap_secret(master_, kCheckName, as_bytes(TRY(meta(kCheckName))))) {
    return fail(ErrorKind::denied, "master.key is not the key that it was made with");
  }
  TRY(bring_up_to_date());
  settings_.region = TRY(meta("region"));
  settings_.account = TRY(meta("account"));
  auto port = TRY(meta("port"));
  if (std::from_chars(port.data(), port.data() + port.size(), settings_.port).ec != std::errc()) {
    return fail(ErrorKind::corrupt, "the port is not a number");
  }
  return {};
}

Result<std::string> Store::meta(std::string_view name) {
  auto rows = TRY(database_.query("SELECT value FROM meta WHERE name = ?", name));
  if (!TRY(rows.next())) return fail(ErrorKind::corrupt, "{} is missing", name);
  return rows.text(0);
}

// The one number that a query about a key answers.
Result<std::int64_t> Store::count(std::string_view sql, std::string_view key_id) {
  auto rows = TRY(database_.query(sql, key_id));
  if (!TRY(rows.next())) return fail(ErrorKind::not_found, "the key does not exist");
  return rows.integer(0);
}

std::string Store::key_arn(std::string_view id) const {
  return fmt::format("arn:aws:kms:{}:{}:key/{}", settings_.region, settings_.account, id);
}

std::string Store::alias_arn(std::string_view name) const {
  return fmt::format("arn:aws:kms:{}:{}:{}", settings_.region, settings_.account, name);
}

Status Store::require_change(std::string_view what) const {
  if (database_.changes() == 0) return fail(ErrorKind::not_found, "{} does not exist", what);
  return {};
}

}  // namespace cloister::emulator

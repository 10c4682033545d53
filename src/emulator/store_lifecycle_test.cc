// What time and newer versions do to a store: migration, rotation, deletion, tags.
#include <gtest/gtest.h>

#include <filesystem>
#include <fstream>
#include <iterator>

#include "crypto/digest.h"
#include "emulator/store_fixture.h"
#include "emulator/wrapping.h"

namespace cloister::emulator {
namespace {

constexpr sys::UnixMillis kDay = 24 * 60 * 60 * 1000;

class StoreLifecycleTest : public StoreFiles {
 protected:
  std::unique_ptr<Store> create() const { return Store::create(path_, master_.copy(), Settings{}).value(); }
  Result<std::unique_ptr<Store>> reopen() const { return Store::open(path_, master_.copy()); }

  // The tables as version 1 made them, with one key, two tags and an alias.
  void make_version_1() const {
    auto database = Database::open(path_, true).value();
    for (std::string_view sql : {
             "CREATE TABLE meta (name TEXT PRIMARY KEY, value BLOB NOT NULL)",
             "CREATE TABLE keys (id TEXT PRIMARY KEY, enabled INTEGER NOT NULL, description TEXT NOT NULL, "
             "created INTEGER NOT NULL, policy TEXT NOT NULL, tags TEXT NOT NULL, material_version INTEGER "
             "NOT "
             "NULL)",
             "CREATE TABLE materials (key_id TEXT NOT NULL REFERENCES keys(id), version INTEGER NOT NULL, "
             "wrapped BLOB NOT NULL, created INTEGER NOT NULL, PRIMARY KEY (key_id, version))",
             "CREATE TABLE aliases (name TEXT PRIMARY KEY, key_id TEXT NOT NULL REFERENCES keys(id), created "
             "INTEGER NOT NULL)",
             "CREATE TABLE principals (arn TEXT PRIMARY KEY, caller_arn TEXT NOT NULL, account TEXT NOT "
             "NULL, "
             "identity_policy TEXT)",
             "CREATE TABLE access_keys (id TEXT PRIMARY KEY, principal TEXT NOT NULL REFERENCES "
             "principals(arn), wrapped BLOB NOT NULL, created INTEGER NOT NULL)",
             R"(INSERT INTO keys VALUES ('old', 0, 'd', 7, '{}',
                '[{"TagKey":"b","TagValue":"2"},{"TagKey":"a","TagValue":"é\"1"}]', 1))",
             "INSERT INTO keys VALUES ('bare', 1, '', 7, '{}', '[]', 1)",
             "INSERT INTO aliases VALUES ('alias/old', 'old', 9)",
         }) {
      ASSERT_TRUE(database.run(sql)) << sql;
    }
    constexpr std::string_view kInsert = "INSERT INTO meta (name, value) VALUES (?, ?)";
    for (auto [name, value] : {std::pair<std::string_view, std::string_view>{"schema", "1"},
                               {"region", "us-east-1"},
                               {"account", "111122223333"},
                               {"port", "8480"}}) {
      ASSERT_TRUE(database.run(kInsert, name, as_bytes(value)));
    }
    auto check = wrap_secret(master_, "master-check", Secret(as_bytes("master-check")));
    ASSERT_TRUE(database.run(kInsert, std::string_view("master-check"), ByteView(check)));
    auto wrapped = wrap_secret(master_, "material/old/1", Secret(as_bytes("the material")));
    ASSERT_TRUE(database.run("INSERT INTO materials VALUES ('old', 1, ?, 7)", ByteView(wrapped)));
  }
};

TEST_F(StoreLifecycleTest, Version1IsBroughtUpToDate) {
  make_version_1();
  for (int round = 0; round < 2; ++round) {
    auto store = reopen();
    ASSERT_TRUE(store) << store.error().message();
    auto key = (*store)->key("old").value();
    EXPECT_FALSE(key.enabled);
    EXPECT_EQ(key.created, 7);
    EXPECT_FALSE(key.deletion);
    EXPECT_FALSE(key.rotation_days);
    auto tags = (*store)->tags("old", "", kMaxTags).value();
    ASSERT_EQ(tags.size(), 2U);
    EXPECT_EQ(tags[0].value, "\xC3\xA9\"1");
    EXPECT_EQ(tags[1].key, "b");
    EXPECT_TRUE((*store)->tags("bare", "", kMaxTags).value().empty());
    EXPECT_EQ((*store)->alias("alias/old").value().updated, 9);
    EXPECT_EQ(as_text((*store)->material("old", 1).value().view()), "the material");
    EXPECT_TRUE((*store)->create_key({}, 1));
  }
}

TEST_F(StoreLifecycleTest, NewerAndStrangeVersionsAreRefused) {
  create();
  for (auto [version, kind] : {std::pair<std::string_view, ErrorKind>{"3", ErrorKind::invalid},
                               {"x", ErrorKind::corrupt},
                               {"0", ErrorKind::corrupt}}) {
    {
      auto database = Database::open(path_, false).value();
      ASSERT_TRUE(database.run("UPDATE meta SET value = ? WHERE name = 'schema'", as_bytes(version)));
    }
    auto store = reopen();
    ASSERT_FALSE(store) << version;
    EXPECT_EQ(store.error().kind(), kind) << version;
  }
}

// Killing a process cannot show what the loss of power would: that a commit waits for the disk.
TEST_F(StoreLifecycleTest, CommitsWaitForTheDisk) {
  constexpr int kFull = 2;
  create();
  auto database = Database::open(path_, false).value();
  auto rows = database.query("PRAGMA synchronous").value();
  ASSERT_TRUE(rows.next().value());
  EXPECT_EQ(rows.integer(0), kFull);
}

TEST_F(StoreLifecycleTest, KeysGoWhenTheirTimeHasCome) {
  auto store = create();
  auto key = store->create_key({.tags = {{"k", "v"}}}, 0).value();
  auto stays = store->create_key({}, 0).value();
  ASSERT_TRUE(store->create_alias("alias/x", key.id, 0));
  ASSERT_TRUE(store->schedule_deletion(key.id, 7 * kDay));
  ASSERT_TRUE(store->maintain(7 * kDay - 1));
  EXPECT_EQ(store->key(key.id).value().deletion, 7 * kDay);
  // What is due is remembered across a restart.
  store = reopen().value();
  ASSERT_TRUE(store->maintain(7 * kDay));
  EXPECT_EQ(store->key(key.id).error().kind(), ErrorKind::not_found);
  EXPECT_EQ(store->material(key.id, 1).error().kind(), ErrorKind::not_found);
  EXPECT_EQ(store->alias("alias/x").error().kind(), ErrorKind::not_found);
  EXPECT_TRUE(store->tags(key.id, "", kMaxTags).value().empty());
  EXPECT_TRUE(store->key(stays.id));
}

TEST_F(StoreLifecycleTest, DeletedMaterialIsOverwritten) {
  auto store = create();
  auto key = store->create_key({}, 0).value();
  std::string wrapped;
  {
    auto database = Database::open(path_, false).value();
    auto rows = database.query("SELECT wrapped FROM materials").value();
    ASSERT_TRUE(rows.next().value());
    wrapped = rows.text(0);
  }
  EXPECT_NE(raw().find(wrapped), std::string::npos);
  ASSERT_TRUE(store->schedule_deletion(key.id, 1));
  ASSERT_TRUE(store->maintain(1));
  EXPECT_EQ(raw().find(wrapped), std::string::npos);
}

TEST_F(StoreLifecycleTest, CancelledDeletionsLeaveTheKeyDisabled) {
  auto store = create();
  auto key = store->create_key({}, 0).value();
  ASSERT_TRUE(store->schedule_deletion(key.id, kDay));
  ASSERT_TRUE(store->schedule_deletion(key.id, {}));
  ASSERT_TRUE(store->maintain(kDay));
  EXPECT_FALSE(store->key(key.id).value().enabled);
}

TEST_F(StoreLifecycleTest, KeysAreRotatedWhenDue) {
  auto store = create();
  auto key = store->create_key({}, 0).value();
  ASSERT_TRUE(store->set_rotation(key.id, 90, 0));
  ASSERT_TRUE(store->maintain(90 * kDay - 1));
  EXPECT_EQ(store->key(key.id).value().material_version, 1U);
  // Ten periods late: once.
  ASSERT_TRUE(store->maintain(900 * kDay));
  ASSERT_TRUE(store->maintain(900 * kDay));
  EXPECT_EQ(store->key(key.id).value().material_version, 2U);
  EXPECT_EQ(store->key(key.id).value().next_rotation, 990 * kDay);
  EXPECT_EQ(store->rotations(key.id, 0, 10).value().at(0).type, "AUTOMATIC");
  // Not while it is disabled, but as soon as it is not.
  ASSERT_TRUE(store->set_enabled(key.id, false));
  ASSERT_TRUE(store->maintain(990 * kDay));
  EXPECT_EQ(store->key(key.id).value().material_version, 2U);
  ASSERT_TRUE(store->set_enabled(key.id, true));
  ASSERT_TRUE(store->maintain(991 * kDay));
  EXPECT_EQ(store->key(key.id).value().material_version, 3U);
}

TEST_F(StoreLifecycleTest, RotationsOnDemandAreCounted) {
  auto store = create();
  auto key = store->create_key({}, 0).value();
  for (int i = 0; i < kMaxOnDemandRotations; ++i) ASSERT_TRUE(store->rotate(key.id, i));
  EXPECT_EQ(store->rotate(key.id, 0).error().kind(), ErrorKind::exhausted);
  EXPECT_EQ(store->rotations(key.id, 0, 100).value().size(), static_cast<std::size_t>(kMaxOnDemandRotations));
  EXPECT_EQ(store->rotations(key.id, 20, 2).value().at(0).version, 21U);
}

TEST_F(StoreLifecycleTest, TagsAndAliasesHaveLimits) {
  auto store = create();
  auto key = store->create_key({}, 0).value();
  std::vector<Tag> tags;
  tags.reserve(kMaxTags);
  for (std::size_t i = 0; i < kMaxTags; ++i) tags.push_back({std::to_string(i), "v"});
  ASSERT_TRUE(store->add_tags(key.id, tags));
  ASSERT_TRUE(store->add_tags(key.id, {{"0", "again"}}));
  EXPECT_EQ(store->add_tags(key.id, {{"0", "x"}, {"one more", "v"}}).error().kind(), ErrorKind::exhausted);
  EXPECT_EQ(store->tags(key.id, "", 1).value().at(0).value, "again");
  for (std::size_t i = 0; i < kMaxAliases; ++i)
    ASSERT_TRUE(store->create_alias("alias/" + std::to_string(i), key.id, 0));
  EXPECT_EQ(store->create_alias("alias/x", key.id, 0).error().kind(), ErrorKind::exhausted);
  EXPECT_EQ(store->alias("alias/x").error().kind(), ErrorKind::not_found);
}

}  // namespace
}  // namespace cloister::emulator

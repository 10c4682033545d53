#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <unistd.h>

#include <filesystem>
#include <fstream>
#include <set>

#include "crypto/digest.h"
#include "emulator/store_fixture.h"
#include "sys/file.h"
#include "sys/process.h"

namespace cloister::emulator {
namespace {

class StoreTest : public StoreFiles {
 protected:
  std::unique_ptr<Store> create() {
    auto store = Store::create(path_, master_.copy(), Settings{});
    EXPECT_TRUE(store) << store.error().message();
    return *std::move(store);
  }
  std::unique_ptr<Store> reopen() {
    auto store = Store::open(path_, master_.copy());
    EXPECT_TRUE(store) << store.error().message();
    return *std::move(store);
  }
};

TEST_F(StoreTest, KeepsEverythingAcrossReopening) {
  KeyRecord key;
  Secret material;
  {
    auto store = create();
    key = store->create_key({.description = "d\xC3\xA9", .policy = "{}", .tags = {{"k", "v"}}}, 1234).value();
    material = store->material(key.id, 1).value();
    ASSERT_TRUE(store->create_alias("alias/app", key.id, 5));
    ASSERT_TRUE(store->set_policy(key.id, R"({"x":1})"));
    ASSERT_TRUE(store->set_enabled(key.id, false));
  }
  auto store = reopen();
  auto again = store->key(key.id).value();
  EXPECT_EQ(again.arn, "arn:aws:kms:us-east-1:111122223333:key/" + key.id);
  EXPECT_EQ(again.description, "d\xC3\xA9");
  EXPECT_EQ(again.created, 1234);
  EXPECT_EQ(again.policy, R"({"x":1})");
  EXPECT_FALSE(again.enabled);
  EXPECT_EQ(store->alias("alias/app").value().key_id, key.id);
  EXPECT_EQ(store->tags(key.id, "", kMaxTags).value().at(0).value, "v");
  EXPECT_TRUE(equal_constant_time(store->material(key.id, 1).value().view(), material.view()));
}

TEST_F(StoreTest, AnotherMasterKeyOpensNothing) {
  create();
  auto opened = Store::open(path_, crypto::random_secret(32));
  ASSERT_FALSE(opened);
  EXPECT_EQ(opened.error().kind(), ErrorKind::denied);
}

TEST_F(StoreTest, MissingDatabaseIsNotMade) {
  EXPECT_FALSE(Store::open(path_, master_.copy()));
  EXPECT_FALSE(std::filesystem::exists(path_));
}

TEST_F(StoreTest, SecretsAreNotInTheFileInPlaintext) {
  auto store = create();
  auto key = store->create_key({}, 0).value();
  ASSERT_TRUE(store->add_principal(
      {"arn:aws:iam::111122223333:user/x", "arn:aws:iam::111122223333:user/x", "111122223333", {}}));
  auto access = store->create_access_key("arn:aws:iam::111122223333:user/x", 0).value();
  auto bytes = raw();
  EXPECT_NE(bytes.find(access.id), std::string::npos);
  EXPECT_EQ(bytes.find(as_text(access.secret.view())), std::string::npos);
  EXPECT_EQ(bytes.find(as_text(store->material(key.id, 1).value().view())), std::string::npos);
  EXPECT_EQ(bytes.find(as_text(master_.view())), std::string::npos);
}

TEST_F(StoreTest, SwappedMaterialIsNoticed) {
  auto store = create();
  auto first = store->create_key({}, 0).value();
  auto second = store->create_key({}, 0).value();
  auto database = Database::open(path_, false).value();
  ASSERT_TRUE(database.run(
      "UPDATE materials SET wrapped = (SELECT wrapped FROM materials WHERE key_id = ?) WHERE key_id = ?",
      std::string_view(first.id), std::string_view(second.id)));
  EXPECT_TRUE(store->material(first.id, 1));
  auto swapped = store->material(second.id, 1);
  ASSERT_FALSE(swapped);
  EXPECT_EQ(swapped.error().kind(), ErrorKind::corrupt);
}

TEST_F(StoreTest, RotationKeepsOldMaterial) {
  auto store = create();
  auto key = store->create_key({}, 0).value();
  auto old = store->material(key.id, 1).value();
  EXPECT_EQ(store->rotate(key.id, 1).value(), 2U);
  EXPECT_EQ(store->key(key.id).value().material_version, 2U);
  EXPECT_TRUE(equal_constant_time(store->material(key.id, 1).value().view(), old.view()));
  EXPECT_FALSE(equal_constant_time(store->material(key.id, 2).value().view(), old.view()));
  EXPECT_EQ(store->material(key.id, 3).error().kind(), ErrorKind::not_found);
}

TEST_F(StoreTest, AbsentThingsAreNotFound) {
  auto store = create();
  EXPECT_EQ(store->key("x").error().kind(), ErrorKind::not_found);
  EXPECT_EQ(store->set_policy("x", "{}").error().kind(), ErrorKind::not_found);
  EXPECT_EQ(store->set_enabled("x", true).error().kind(), ErrorKind::not_found);
  EXPECT_EQ(store->rotate("x", 0).error().kind(), ErrorKind::not_found);
  EXPECT_EQ(store->alias("alias/x").error().kind(), ErrorKind::not_found);
  EXPECT_EQ(store->delete_alias("alias/x").error().kind(), ErrorKind::not_found);
  EXPECT_EQ(store->access_key("AKIAX").error().kind(), ErrorKind::not_found);
  EXPECT_FALSE(store->create_alias("alias/x", "no such key", 0));
}

TEST_F(StoreTest, AliasesAreUnique) {
  auto store = create();
  auto key = store->create_key({}, 0).value();
  auto other = store->create_key({}, 0).value();
  ASSERT_TRUE(store->create_alias("alias/x", key.id, 0));
  EXPECT_EQ(store->create_alias("alias/x", other.id, 0).error().kind(), ErrorKind::invalid);
  EXPECT_EQ(store->alias("alias/x").value().key_id, key.id);
  ASSERT_TRUE(store->create_alias("alias/y", other.id, 0));
  EXPECT_EQ(store->aliases("", 10).value().size(), 2U);
  EXPECT_EQ(store->aliases("", 10, other.id).value().size(), 1U);
  EXPECT_EQ(store->aliases("alias/x", 10).value().at(0).name, "alias/y");
}

// What hostile names would do to SQL made by hand.
TEST_F(StoreTest, NamesAreBoundNotSpliced) {
  auto store = create();
  auto key = store->create_key({.description = "x'); DROP TABLE keys; --", .policy = "{}"}, 0).value();
  EXPECT_EQ(store->key("' OR '1'='1").error().kind(), ErrorKind::not_found);
  EXPECT_EQ(store->key(key.id).value().description, "x'); DROP TABLE keys; --");
}

// A child acknowledges each change on a pipe and is killed at some moment; all that it acknowledged is there
// afterwards.
TEST_F(StoreTest, KillLosesNothingAcknowledged) {
  create();
  std::set<std::string> acknowledged;
  constexpr int kRounds = 8;
  for (int round = 0; round < kRounds; ++round) {
    auto pipe = sys::make_pipe().value();
    auto child = sys::fork_child([&] {
                   auto store = Store::open(path_, master_.copy());
                   if (!store) return 1;
                   for (;;) {
                     auto key = (*store)->create_key({.policy = "old"}, 1);
                     if (!key || !(*store)->set_policy(key->id, "policy of " + key->id)) return 1;
                     if (!(*store)->create_alias("alias/" + key->id, key->id, 1)) return 1;
                     if (!sys::write_all(pipe.write.get(), as_bytes(key->id), "acknowledge")) return 1;
                   }
                 }).value();
    pipe.write.reset();
    constexpr std::size_t kUuid = 36;
    // The number of acknowledgements waited for differs, and so does where in its work the child dies.
    for (int count = 0; count < 1 + round * 3; ++count) {
      char id[kUuid];
      ASSERT_EQ(::read(pipe.read.get(), id, sizeof id), static_cast<ssize_t>(sizeof id));
      acknowledged.emplace(id, sizeof id);
    }
    child.kill_and_reap();
    auto rest = sys::read_all(pipe.read.get(), 1 << 20, "acknowledgements").value();
    for (std::size_t at = 0; at + kUuid <= rest.size(); at += kUuid) {
      acknowledged.emplace(as_text(ByteView(rest).subspan(at, kUuid)));
    }
  }
  auto store = reopen();
  EXPECT_GE(acknowledged.size(), static_cast<std::size_t>(kRounds));
  for (const auto& id : acknowledged) {
    auto key = store->key(id);
    ASSERT_TRUE(key) << id;
    EXPECT_EQ(key->policy, "policy of " + id);
    EXPECT_TRUE(store->material(id, 1)) << id;
    EXPECT_EQ(store->alias("alias/" + id).value().key_id, id);
  }
}

}  // namespace
}  // namespace cloister::emulator

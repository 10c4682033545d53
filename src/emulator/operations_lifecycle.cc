// What time does to keys: EnableKeyRotation, DisableKeyRotation, GetKeyRotationStatus, RotateKeyOnDemand,
// ListKeyRotations, ScheduleKeyDeletion, CancelKeyDeletion.
#include <charconv>
#include <nlohmann/json.hpp>

#include "emulator/call.h"
#include "emulator/paging.h"

namespace cloister::emulator {

namespace {

using json = http::Json;

constexpr PageLimits kPage{.fallback = 100, .most = 1000};
constexpr sys::UnixMillis kDay = 24 * 60 * 60 * 1000;  // milliseconds
constexpr std::int64_t kMinRotation = 90;              // days
constexpr std::int64_t kMaxRotation = 2560;            // days
constexpr std::int64_t kDefaultRotation = 365;         // days
constexpr std::int64_t kMinWindow = 7;                 // days
constexpr std::int64_t kMaxWindow = 30;                // days, and the default

Outcome<json> enable_rotation(Call& call) {
  auto key = TRY(call.required_key());
  auto days = TRY(call.parameters.integer("RotationPeriodInDays", kMinRotation, kMaxRotation))
                  .value_or(key.rotation_days.value_or(kDefaultRotation));
  call.context.set("kms:RotationPeriodInDays", std::to_string(days));
  TRY(call.require("EnableKeyRotation", key));
  TRY(Call::require_enabled(key));
  // Said again with the same period it does not put the next rotation off.
  if (key.rotation_days != days) TRY(call.store.set_rotation(key.id, days, call.now));
  return json();
}

Outcome<json> disable_rotation(Call& call) {
  auto key = TRY(call.required_key());
  TRY(call.require("DisableKeyRotation", key));
  TRY(Call::require_enabled(key));
  TRY(call.store.set_rotation(key.id, {}, call.now));
  return json();
}

Outcome<json> rotation_status(Call& call) {
  auto key = TRY(call.required_key());
  TRY(call.require("GetKeyRotationStatus", key));
  // Keys that are about to be deleted are rotated no more.
  bool on = key.rotation_days && !key.deletion;
  json answer{{"KeyId", key.arn}, {"KeyRotationEnabled", on}};
  if (on) {
    answer["RotationPeriodInDays"] = *key.rotation_days;
    answer["NextRotationDate"] = seconds_of(key.next_rotation);
  }
  return answer;
}

Outcome<json> rotate(Call& call) {
  auto key = TRY(call.required_key());
  TRY(call.require("RotateKeyOnDemand", key));
  TRY(Call::require_enabled(key));
  auto rotated = call.store.rotate(key.id, call.now);
  if (!rotated && rotated.error().kind() == ErrorKind::exhausted) {
    return fault("LimitExceededException",
                 "The on-demand rotations limit has been reached for the given keyId. No more on-demand "
                 "rotations can be performed for this key: {}",
                 key.arn);
  }
  TRY(std::move(rotated));
  return json{{"KeyId", key.arn}};
}

Outcome<std::uint32_t> version_of(const Page& page) {
  std::uint32_t out = 0;
  const auto& text = page.after();
  if (text.empty()) return out;
  auto parsed = std::from_chars(text.data(), text.data() + text.size(), out);
  if (parsed.ec == std::errc() && parsed.ptr == text.data() + text.size()) return out;
  return fault("InvalidMarkerException", "The marker is not valid for ListKeyRotations");
}

Outcome<json> list_rotations(Call& call) {
  auto key = TRY(call.required_key());
  auto page = TRY(Page::read(call, "ListKeyRotations", kPage));
  auto after = TRY(version_of(page));
  TRY(call.require("ListKeyRotations", key));
  auto rotations = TRY(call.store.rotations(key.id, after, page.probe()));
  bool more = page.cut(rotations);
  json list = json::array();
  for (const auto& rotation : rotations) {
    json entry{{"KeyId", key.arn},
               {"RotationDate", seconds_of(rotation.at)},
               {"KeyMaterialId", material_id(key.id, rotation.version)}};
    if (!rotation.type.empty()) entry["RotationType"] = rotation.type;
    list.push_back(std::move(entry));
  }
  json answer{{"Rotations", std::move(list)}};
  page.finish(answer, more, more ? std::to_string(rotations.back().version) : "");
  return answer;
}

Outcome<json> schedule_deletion(Call& call) {
  auto key = TRY(call.required_key());
  auto days =
      TRY(call.parameters.integer("PendingWindowInDays", kMinWindow, kMaxWindow)).value_or(kMaxWindow);
  call.context.set("kms:ScheduleKeyDeletionPendingWindowInDays", std::to_string(days));
  TRY(call.require("ScheduleKeyDeletion", key));
  TRY(Call::require_staying(key));
  auto deletion = call.now + days * kDay;
  TRY(call.store.schedule_deletion(key.id, deletion));
  return json{{"KeyId", key.arn},
              {"DeletionDate", seconds_of(deletion)},
              {"KeyState", "PendingDeletion"},
              {"PendingWindowInDays", days}};
}

Outcome<json> cancel_deletion(Call& call) {
  auto key = TRY(call.required_key());
  TRY(call.require("CancelKeyDeletion", key));
  if (!key.deletion) return fault("KMSInvalidStateException", "{} is not pending deletion.", key.arn);
  TRY(call.store.schedule_deletion(key.id, {}));
  return json{{"KeyId", key.arn}};
}

constexpr OperationEntry kOperations[] = {
    {"CancelKeyDeletion", cancel_deletion},     {"DisableKeyRotation", disable_rotation},
    {"EnableKeyRotation", enable_rotation},     {"GetKeyRotationStatus", rotation_status},
    {"ListKeyRotations", list_rotations},       {"RotateKeyOnDemand", rotate},
    {"ScheduleKeyDeletion", schedule_deletion},
};

}  // namespace

std::span<const OperationEntry> lifecycle_operations() {
  return kOperations;
}

}  // namespace cloister::emulator

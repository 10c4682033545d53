// The partitions of AWS: which regions are in each, and what its services' names end in. The table is that of
// the AWS SDKs' shared partition metadata ("partitions.json").
#pragma once

#include <span>
#include <string_view>

namespace cloister::kms {

struct Partition {
  std::string_view id;                // second part of an ARN
  std::string_view region_prefix;     // of its regions' names; empty: every other region
  std::string_view suffix;            // "amazonaws.com"
  std::string_view dualstack_suffix;  // of names that have IPv6 addresses too
};

std::span<const Partition> partitions();
const Partition* find_partition(std::string_view id);  // nullptr: unknown
// Regions that are too new to be known are of "aws", as AWS's own tools have it.
const Partition& partition_of_region(std::string_view region);

}  // namespace cloister::kms

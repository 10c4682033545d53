#include "kms/partition.h"

#include <algorithm>
#include <array>

namespace cloister::kms {

namespace {

constexpr std::array kPartitions = {
    Partition{"aws-cn", "cn-", "amazonaws.com.cn", "api.amazonwebservices.com.cn"},
    Partition{"aws-us-gov", "us-gov-", "amazonaws.com", "api.aws"},
    Partition{"aws-eusc", "eusc-", "amazonaws.eu", "api.amazonwebservices.eu"},
    Partition{"aws-iso", "us-iso-", "c2s.ic.gov", "api.aws.ic.gov"},
    Partition{"aws-iso-b", "us-isob-", "sc2s.sgov.gov", "api.aws.scloud"},
    Partition{"aws-iso-e", "eu-isoe-", "cloud.adc-e.uk", "api.cloud-aws.adc-e.uk"},
    Partition{"aws-iso-f", "us-isof-", "csp.hci.ic.gov", "api.aws.hci.ic.gov"},
    Partition{"aws", "", "amazonaws.com", "api.aws"},  // last: its prefix is that of every region
};

}  // namespace

std::span<const Partition> partitions() {
  return kPartitions;
}

const Partition* find_partition(std::string_view id) {
  const auto* found = std::ranges::find(kPartitions, id, &Partition::id);
  return found == kPartitions.end() ? nullptr : found;
}

const Partition& partition_of_region(std::string_view region) {
  return *std::ranges::find_if(
      kPartitions, [&](const auto& partition) { return region.starts_with(partition.region_prefix); });
}

}  // namespace cloister::kms

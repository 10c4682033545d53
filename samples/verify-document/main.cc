// verify-document FILE: PCR0 of a Nitro attestation document, if AWS vouches for it.
#include <fstream>
#include <iostream>
#include <iterator>

#include "attestation/document.h"

using namespace cloister;

int main(int argc, char** argv) {
  if (argc != 2) {
    std::cerr << "usage: verify-document FILE\n";
    return 2;
  }
  std::ifstream file(argv[1], std::ios::binary);
  Bytes bytes{std::istreambuf_iterator<char>(file), {}};

  // A stored document is judged at its own time, as its certificates live for hours. For one that has just
  // come over a connection give verify() your clock's time, and compare document->nonce with the one you
  // sent.
  auto parsed = attestation::SignedDocument::parse(bytes);
  auto at = parsed ? parsed->document.timestamp : 0;
  auto document = attestation::verify(bytes, attestation::aws_nitro_root(), at);
  if (!document) {
    std::cerr << "refused: " << document.error().message() << "\n";
    return 1;
  }
  if (document->debug_mode()) {
    std::cerr << "refused: debug mode, nothing is measured\n";
    return 1;
  }
  std::cout << "PCR0 " << to_hex(document->pcrs[0]) << "\n";
}

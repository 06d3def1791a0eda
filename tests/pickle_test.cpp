// The pickle reader knows what the published files hold, executes nothing, and refuses all else by name.
#include "data/pickle.hpp"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "convoy/error.hpp"
#include "support/data_files.hpp"

namespace convoy {
namespace {

using test::ByteVector;
using test::PickleWriter;

std::string refusal(const ByteVector& bytes) {
  return test::message_of([&] { const Pickle pickle(bytes, "file"); });
}

ByteVector with(const std::string& middle) {
  const std::string whole = "\x80\2}" + middle + ".";
  return {whole.begin(), whole.end()};
}

TEST(Pickle, strings_lists_and_arrays_are_found_by_key) {
  PickleWriter writer;
  writer.begin_dict().string("labels").integers({3, 300, 70000}).string("data").array(2, 3, {1, 2, 3, 4, 5, 6});
  const ByteVector bytes = writer.string("long").string(std::string(300, 'x')).end_dict().stop();
  const Pickle pickle(bytes, "file");
  ASSERT_EQ(pickle.list("labels").size(), 3u);
  EXPECT_EQ(pickle.list("labels")[1].integer, 300);
  EXPECT_EQ(pickle.list("labels")[2].integer, 70000);
  EXPECT_EQ(pickle.array("data").rows, 2);
  EXPECT_EQ(pickle.array("data").columns, 3);
  EXPECT_THAT(pickle.array("data").bytes, testing::ElementsAre(1, 2, 3, 4, 5, 6));
  EXPECT_EQ(pickle.find("long")->text.size(), 300u);
  EXPECT_EQ(pickle.find("absent"), nullptr);
}

TEST(Pickle, lists_longer_than_a_thousand_arrive_in_pieces_and_whole) {
  for (const std::size_t count : {999u, 1000u, 1001u, 2500u}) {
    std::vector<int> values(count);
    for (std::size_t i = 0; i < count; ++i) values[i] = static_cast<int>(i * 7 % 256);
    PickleWriter writer;
    const ByteVector bytes = writer.begin_dict().string("labels").integers(values).end_dict().stop();
    const Pickle pickle(bytes, "file");
    ASSERT_EQ(pickle.list("labels").size(), count);
    for (std::size_t i = 0; i < count; ++i) EXPECT_EQ(pickle.list("labels")[i].integer, values[i]);
  }
}

TEST(Pickle, what_was_put_can_be_got_again) {
  // {'a': 'b', 'c': 'b'}, the second 'b' by BINGET
  const ByteVector bytes = with("(U\1aU\1bq\5U\1ch\5u");
  const Pickle pickle(bytes, "file");
  EXPECT_EQ(pickle.find("a")->text, "b");
  EXPECT_EQ(pickle.find("c")->text, "b");
}

TEST(Pickle, foreign_opcodes_are_refused_by_name_and_place) {
  struct Case {
    std::string middle;
    const char* name;
  };
  const Case cases[] = {{"ios\nsystem\n", "INST"}, {"(o", "OBJ"},      {"\x81", "NEWOBJ"},   {"\x93", "STACK_GLOBAL"},
                        {"Pid\n", "PERSID"},       {"Q", "BINPERSID"}, {"F1.0\n", "FLOAT"},  {"S'x'\n", "STRING"},
                        {"X", "BINUNICODE"},       {"G", "BINFLOAT"},  {"\x8a", "LONG1"},    {"2", "DUP"},
                        {"\x82", "EXT1"},          {"I01\n", "INT"},   {"\xff", "byte 0xff"}};
  for (const Case& c : cases) {
    EXPECT_THAT(refusal(with(c.middle)), testing::AllOf(testing::HasSubstr("file: pickle, byte "),
                                                        testing::HasSubstr(std::string(c.name) + ": refused")));
  }
}

TEST(Pickle, every_byte_that_is_no_known_opcode_is_refused) {
  const std::string known =
      "}]qrhj(UTJKMNt\x85\x86\x87"
      "aesucRb.\x89";
  for (int code = 0; code < 256; ++code) {
    const std::string middle(1, static_cast<char>(code));
    const bool is_known = known.find(middle) != std::string::npos;
    const std::string message = refusal(with(middle));
    EXPECT_EQ(message.find(": refused") == std::string::npos, is_known) << code << ": " << message;
  }
}

TEST(Pickle, foreign_names_are_refused_and_not_called) {
  for (const char* name : {"os\nsystem\n", "__builtin__\neval\n", "posix\nsystem\n", "numpy\nload\n",
                           "numpy.core.multiarray\nscalar\n", "copy_reg\n_reconstructor\n", "numpy ndarray\n\n"}) {
    const std::string message = refusal(with("(U\1ac" + std::string(name) + "U\2ls\x85R"));
    EXPECT_THAT(message, testing::HasSubstr("only numpy's ndarray and dtype expected"));
    EXPECT_THAT(message, testing::HasSubstr(": refused"));
  }
  EXPECT_THAT(refusal(with("cos\nsystem\n")), testing::HasSubstr("byte 3: "));
  EXPECT_THAT(refusal(with("cos\nsystem\n")), testing::HasSubstr("'os system'"));
}

TEST(Pickle, known_names_are_refused_in_other_uses) {
  // ndarray(...) called directly; _reconstruct of a dtype; dtype of another type.
  EXPECT_THAT(refusal(with("cnumpy\nndarray\nK\1\x85R")), testing::HasSubstr("another use of 'numpy ndarray'"));
  EXPECT_THAT(refusal(with("cnumpy.core.multiarray\n_reconstruct\ncnumpy\ndtype\nK\1U\1b\x87R")),
              testing::HasSubstr("another use of"));
  EXPECT_THAT(refusal(with("cnumpy\ndtype\nU\2O8K\1K\1\x87R")), testing::HasSubstr("type 'O8'"));
}

TEST(Pickle, other_protocols_are_refused_by_number) {
  for (const std::uint8_t protocol : {0, 1, 3, 4, 5}) {
    EXPECT_THAT(refusal({0x80, protocol, '}', '.'}),
                testing::AllOf(testing::HasSubstr("protocol 2"),
                               testing::HasSubstr(fmt::format("found protocol {}", protocol))));
  }
  EXPECT_THAT(refusal({'(', 'd', '.'}), testing::HasSubstr("PROTO"));
  EXPECT_THAT(refusal({}), testing::HasSubstr("PROTO"));
}

TEST(Pickle, a_machine_out_of_order_is_refused) {
  const char* const cases[] = {"u",     "s",  "e",        "a",      "t",         "\x85\x87",  "(",
                               "R",     "b",  "h\7",      "]s",     "(U\1au",    "(K\1K\1u",  "NNs",
                               "U\5ab", "K",  "T\1\1\1",  "cnumpy", "cnumpy\nn", "N",         "]",
                               "(q\1",  "(h", "}(]K\1u.", "Nb",     "K\1(tb",    "j\1\1\1\1", "r\377\377\377\377"};
  for (const char* middle : cases) EXPECT_NE(refusal(with(middle)), "") << middle;
}

TEST(Pickle, every_truncation_of_a_batch_is_refused) {
  PickleWriter writer;
  writer.begin_dict().string("labels").integers({1, 2}).string("data").array(2, 3, {1, 2, 3, 4, 5, 6});
  const ByteVector bytes = writer.end_dict().stop();
  ASSERT_EQ(refusal(bytes), "");
  for (std::size_t length = 0; length < bytes.size(); ++length) {
    EXPECT_NE(refusal(ByteVector(bytes.begin(), bytes.begin() + static_cast<std::ptrdiff_t>(length))), "") << length;
  }
}

TEST(Pickle, missing_and_misplaced_entries_are_named) {
  PickleWriter writer;
  const ByteVector bytes = writer.begin_dict().string("data").string("text").end_dict().stop();
  const Pickle pickle(bytes, "file");
  EXPECT_THAT(test::message_of([&] { pickle.list("labels"); }), testing::HasSubstr("file: an entry 'labels' expected"));
  EXPECT_THAT(test::message_of([&] { pickle.array("data"); }),
              testing::HasSubstr("file: an array expected as 'data', found a string"));
}

TEST(Pickle, a_flood_of_values_ends_at_the_limit) {
  ByteVector bytes{0x80, 2};
  bytes.resize(5'000'000, 'N');
  EXPECT_THAT(refusal(bytes), testing::HasSubstr("at most 4,000,000 values expected, found more"));
}

}  // namespace
}  // namespace convoy

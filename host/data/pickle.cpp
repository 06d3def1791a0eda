// A reader of Python pickles of exactly the published CIFAR files' kind. Opcodes: PEP 307 and CPython's pickletools.
#include "data/pickle.hpp"

#include <algorithm>
#include <array>
#include <cstring>
#include <optional>

#include "convoy/error.hpp"
#include "data/text.hpp"

namespace convoy {
namespace {

using Kind = PickleValue::Kind;

constexpr std::string_view kReconstruct = "numpy.core.multiarray _reconstruct";
constexpr std::string_view kArrayType = "numpy ndarray";
constexpr std::string_view kDType = "numpy dtype";

constexpr int kProtocol = 2;
constexpr std::size_t kMaxValues = 4'000'000;  // CIFAR-100's training file holds some 350,000 values and names

enum Opcode : std::uint8_t {
  kProto = 0x80,
  kEmptyDict = '}',
  kEmptyList = ']',
  kBinPut = 'q',
  kLongBinPut = 'r',
  kBinGet = 'h',
  kLongBinGet = 'j',
  kMark = '(',
  kShortBinString = 'U',
  kBinString = 'T',
  kBinInt = 'J',
  kBinInt1 = 'K',
  kBinInt2 = 'M',
  kNone = 'N',
  kNewFalse = 0x89,
  kTuple = 't',
  kTuple1 = 0x85,
  kTuple2 = 0x86,
  kTuple3 = 0x87,
  kAppend = 'a',
  kAppends = 'e',
  kSetItem = 's',
  kSetItems = 'u',
  kGlobal = 'c',
  kReduce = 'R',
  kBuild = 'b',
  kStop = '.',
};

struct OpcodeName {
  std::uint8_t code;
  std::string_view name;
};

// What is refused, by the names that Python's pickletools print.
constexpr OpcodeName kForeign[] = {
    {'i', "INST"},
    {'o', "OBJ"},
    {0x81, "NEWOBJ"},
    {0x92, "NEWOBJ_EX"},
    {0x93, "STACK_GLOBAL"},
    {0x82, "EXT1"},
    {0x83, "EXT2"},
    {0x84, "EXT4"},
    {'P', "PERSID"},
    {'Q', "BINPERSID"},
    {'I', "INT"},
    {'L', "LONG"},
    {'F', "FLOAT"},
    {'S', "STRING"},
    {'V', "UNICODE"},
    {'X', "BINUNICODE"},
    {'G', "BINFLOAT"},
    {0x8A, "LONG1"},
    {0x8B, "LONG4"},
    {0x88, "NEWTRUE"},
    {')', "EMPTY_TUPLE"},
    {'l', "LIST"},
    {'d', "DICT"},
    {'p', "PUT"},
    {'g', "GET"},
    {'0', "POP"},
    {'1', "POP_MARK"},
    {'2', "DUP"},
    {0x8C, "SHORT_BINUNICODE"},
    {0x8D, "BINUNICODE8"},
    {0x8E, "BINBYTES8"},
    {0x8F, "EMPTY_SET"},
    {0x90, "ADDITEMS"},
    {0x91, "FROZENSET"},
    {0x94, "MEMOIZE"},
    {0x95, "FRAME"},
    {0x96, "BYTEARRAY8"},
    {0x97, "NEXT_BUFFER"},
    {0x98, "READONLY_BUFFER"},
    {'B', "BINBYTES"},
    {'C', "SHORT_BINBYTES"},
};

std::string describe_foreign(std::uint8_t code) {
  const auto* found = std::find_if(std::begin(kForeign), std::end(kForeign), [&](auto& o) { return o.code == code; });
  return found == std::end(kForeign) ? fmt::format("byte 0x{:02x}", code) : fmt::format("opcode {}", found->name);
}

std::string_view kind_name(Kind kind) {
  constexpr std::array<std::string_view, 10> kNames{"None",   "a bool",       "an integer",    "a string", "a tuple",
                                                    "a list", "a dictionary", "a global name", "an array", "a dtype"};
  return kNames[static_cast<std::size_t>(kind)];
}

}  // namespace

// The stack machine that a pickle is a program for.
class PickleMachine {
 public:
  PickleMachine(Pickle& result, std::span<const std::uint8_t> bytes) : result_(result), bytes_(bytes) {}

  void run() {
    check_protocol();
    while (step()) {
    }
    if (stack_.size() != 1 || !marks_.empty()) {
      refuse("one value at the end", fmt::format("{} values, {} marks", stack_.size(), marks_.size()));
    }
    if (stack_[0].kind != Kind::dict) refuse("a dictionary", kind_name(stack_[0].kind));
    result_.root_ = stack_[0];
  }

 private:
  [[noreturn]] void refuse(std::string_view expected, std::string_view found) const {
    fail("{}: pickle, byte {}: {} expected, found {}", result_.name_, grouped(at_), expected, found);
  }

  void check_protocol() {
    if (bytes_.size() < 2 || bytes_[0] != kProto) refuse("opcode PROTO", "no binary pickle");
    if (bytes_[1] != kProtocol) {
      refuse("protocol 2 (as published, written by Python 2)", fmt::format("protocol {}", bytes_[1]));
    }
    next_ = 2;
  }

  bool step() {
    at_ = next_;
    const std::uint8_t code = unsigned_number<1>();
    switch (code) {
      case kStop:
        return false;
      case kEmptyDict:
        push_container(Kind::dict, {});
        break;
      case kEmptyList:
        push_container(Kind::list, {});
        break;
      case kBinPut:
        put(unsigned_number<1>());
        break;
      case kLongBinPut:
        put(unsigned_number<4>());
        break;
      case kBinGet:
        get(unsigned_number<1>());
        break;
      case kLongBinGet:
        get(unsigned_number<4>());
        break;
      case kMark:
        count_value();
        marks_.push_back(stack_.size());
        break;
      case kShortBinString:
        push({Kind::string, 0, text(unsigned_number<1>())});
        break;
      case kBinString:
        push({Kind::string, 0, text(unsigned_number<4>())});
        break;
      case kBinInt:
        push({Kind::integer, static_cast<std::int32_t>(unsigned_number<4>()), {}});
        break;
      case kBinInt1:
        push({Kind::integer, unsigned_number<1>(), {}});
        break;
      case kBinInt2:
        push({Kind::integer, unsigned_number<2>(), {}});
        break;
      case kNone:
        push({Kind::none, 0, {}});
        break;
      case kNewFalse:
        push({Kind::boolean, 0, {}});
        break;
      case kTuple:
        push_container(Kind::tuple, pop_to_mark());
        break;
      case kTuple1:
      case kTuple2:
      case kTuple3:
        push_container(Kind::tuple, pop_many(static_cast<std::size_t>(code - kTuple1) + 1));
        break;
      case kAppend:
        extend(Kind::list, pop_many(1));
        break;
      case kAppends:
        extend(Kind::list, pop_to_mark());
        break;
      case kSetItem:
        extend(Kind::dict, pop_many(2));
        break;
      case kSetItems:
        extend(Kind::dict, pop_to_mark());
        break;
      case kGlobal:
        global();
        break;
      case kReduce:
        reduce();
        break;
      case kBuild:
        build();
        break;
      default:
        refuse("only the opcodes of the published CIFAR files", describe_foreign(code) + ": refused");
    }
    return true;
  }

  template <int size>
  std::uint32_t unsigned_number() {
    const std::string_view raw = text(size);
    std::uint32_t number = 0;
    for (int i = size - 1; i >= 0; --i)
      number = (number << 8) | static_cast<std::uint8_t>(raw[static_cast<std::size_t>(i)]);
    return number;
  }

  std::string_view text(std::size_t length) {
    const std::size_t left = bytes_.size() - next_;
    if (length > left) {
      fail("{}: pickle, byte {}: {} more bytes expected, {} found; {}", result_.name_, grouped(at_), grouped(length),
           grouped(left), kDownloadAgain);
    }
    const std::string_view view(reinterpret_cast<const char*>(bytes_.data()) + next_, length);
    next_ += length;
    return view;
  }

  std::string_view line() {
    const auto rest = bytes_.subspan(next_);
    const auto end = std::find(rest.begin(), rest.end(), static_cast<std::uint8_t>('\n'));
    if (end == rest.end()) refuse("a name that ends", "the end of the file");
    const std::string_view result = text(static_cast<std::size_t>(end - rest.begin()));
    ++next_;
    return result;
  }

  void count_value() {
    if (++values_ > kMaxValues) refuse(fmt::format("at most {} values", grouped(kMaxValues)), "more");
  }

  void push(PickleValue value) {
    count_value();
    stack_.push_back(value);
  }

  void push_container(Kind kind, std::vector<PickleValue> items) {
    const auto index = static_cast<std::int64_t>(result_.containers_.size());
    result_.containers_.push_back(std::move(items));
    push({kind, index, {}});
  }

  std::size_t floor() const { return marks_.empty() ? 0 : marks_.back(); }

  std::vector<PickleValue> pop_from(std::size_t first) {
    std::vector<PickleValue> items(stack_.begin() + static_cast<std::ptrdiff_t>(first), stack_.end());
    stack_.resize(first);
    return items;
  }

  std::vector<PickleValue> pop_many(std::size_t count) {
    if (stack_.size() < floor() + count) refuse(fmt::format("{} values on the stack", count), "fewer");
    return pop_from(stack_.size() - count);
  }

  std::vector<PickleValue> pop_to_mark() {
    if (marks_.empty()) refuse("a mark on the stack", "none");
    const std::size_t mark = marks_.back();
    marks_.pop_back();
    return pop_from(mark);
  }

  PickleValue& top() {
    if (stack_.size() <= floor()) refuse("a value on the stack", "none");
    return stack_.back();
  }

  void put(std::uint32_t index) {
    if (index >= kMaxValues) refuse("a smaller memo index", grouped(index));
    if (index >= memo_.size()) memo_.resize(std::max<std::size_t>(index + 1, memo_.size() * 2));
    memo_[index] = top();
  }

  void get(std::uint32_t index) {
    if (index >= memo_.size() || !memo_[index]) refuse("a memo index that was put", grouped(index));
    push(*memo_[index]);
  }

  std::vector<PickleValue>& items(const PickleValue& value) {
    return result_.containers_[static_cast<std::size_t>(value.integer)];
  }

  void extend(Kind kind, const std::vector<PickleValue>& more) {
    if (top().kind != kind) refuse(kind_name(kind), kind_name(top().kind));
    if (kind == Kind::dict) {
      if (more.size() % 2 != 0) refuse("a value for each key", "a key without");
      for (std::size_t i = 0; i < more.size(); i += 2) {
        if (more[i].kind != Kind::string) refuse("a string as key", kind_name(more[i].kind));
      }
    }
    std::vector<PickleValue>& target = items(top());
    target.insert(target.end(), more.begin(), more.end());
  }

  // Only remembered by name; what a name may be used for is decided in reduce().
  void global() {
    const std::size_t begin = next_;
    const std::string_view module = line();
    const std::string_view symbol = line();
    const std::string name = fmt::format("{} {}", module, symbol);
    for (const std::string_view known : {kReconstruct, kArrayType, kDType}) {
      if (name == known) return push({Kind::global, 0, known});
    }
    at_ = begin - 1;
    refuse("only numpy's ndarray and dtype", fmt::format("the name '{}': refused", printable(name)));
  }

  static bool is_global(const PickleValue& value, std::string_view name) {
    return value.kind == Kind::global && value.text == name;
  }

  void reduce() {
    const std::vector<PickleValue> call = pop_many(2);
    if (call[0].kind != Kind::global || call[1].kind != Kind::tuple) {
      refuse("a numpy name and a tuple to reduce", kind_name(call[0].kind));
    }
    const std::vector<PickleValue>& arguments = items(call[1]);
    if (is_global(call[0], kReconstruct) && arguments.size() == 3 && is_global(arguments[0], kArrayType)) {
      result_.arrays_.emplace_back();
      return push({Kind::array, static_cast<std::int64_t>(result_.arrays_.size()) - 1, {}});
    }
    if (is_global(call[0], kDType) && arguments.size() == 3 && arguments[0].kind == Kind::string) {
      if (arguments[0].text != "u1") {
        refuse("numpy type u1 (uint8)", fmt::format("type '{}'", printable(arguments[0].text)));
      }
      return push({Kind::dtype, 0, {}});
    }
    refuse("numpy's _reconstruct(ndarray, ...) or dtype(name, ...)", fmt::format("another use of '{}'", call[0].text));
  }

  void build() {
    const PickleValue state = pop_many(1)[0];
    const PickleValue object = top();
    if (state.kind != Kind::tuple) refuse("a tuple to build from", kind_name(state.kind));
    if (object.kind == Kind::dtype) return;  // byte order and alignment mean nothing for uint8
    if (object.kind != Kind::array) refuse("an array or dtype to build", kind_name(object.kind));
    fill_array(result_.arrays_[static_cast<std::size_t>(object.integer)], items(state));
  }

  // state: (1, (rows, columns), dtype, False for C order, bytes)
  void fill_array(PickleArray& array, const std::vector<PickleValue>& state) {
    if (state.size() != 5 || state[1].kind != Kind::tuple || state[2].kind != Kind::dtype ||
        state[3].kind != Kind::boolean || state[4].kind != Kind::string) {
      refuse("an array's (version, shape, dtype, C order, bytes)", "something else");
    }
    const std::vector<PickleValue>& shape = items(state[1]);
    if (shape.size() != 2 || shape[0].kind != Kind::integer || shape[1].kind != Kind::integer || shape[0].integer < 0 ||
        shape[1].integer <= 0) {
      refuse("an array of rows and columns", fmt::format("{} dimensions", shape.size()));
    }
    array.rows = shape[0].integer;
    array.columns = shape[1].integer;
    array.bytes = {reinterpret_cast<const std::uint8_t*>(state[4].text.data()), state[4].text.size()};
    array.is_filled = true;
    // Both come from at most 32 bits: the product fits.
    const auto expected = static_cast<std::uint64_t>(array.rows) * static_cast<std::uint64_t>(array.columns);
    if (array.bytes.size() != expected) {
      refuse(fmt::format("{} bytes for an array of {} x {}", grouped(expected), grouped(shape[0].integer),
                         grouped(shape[1].integer)),
             grouped(array.bytes.size()));
    }
  }

  Pickle& result_;
  std::span<const std::uint8_t> bytes_;
  std::size_t at_ = 0, next_ = 0;  // the current opcode; the byte after what was read
  std::size_t values_ = 0;
  std::vector<PickleValue> stack_;
  std::vector<std::size_t> marks_;
  std::vector<std::optional<PickleValue>> memo_;
};

Pickle::Pickle(std::span<const std::uint8_t> bytes, std::string name) : name_(std::move(name)) {
  PickleMachine(*this, bytes).run();
}

bool Pickle::recognises(std::span<const std::uint8_t> head) {
  // PROTO of any version, and what then begins a dictionary: EMPTY_DICT, or FRAME in protocols 4 and 5.
  return head.size() >= 3 && head[0] == kProto && head[1] >= 2 && head[1] <= 5 && (head[2] == '}' || head[2] == 0x95);
}

const PickleValue* Pickle::find(std::string_view key) const {
  const std::vector<PickleValue>& entries = containers_[static_cast<std::size_t>(root_.integer)];
  for (std::size_t i = 0; i + 1 < entries.size(); i += 2) {
    if (entries[i].text == key) return &entries[i + 1];
  }
  return nullptr;
}

const PickleValue& Pickle::require(std::string_view key, Kind kind) const {
  const PickleValue* value = find(key);
  CONVOY_CHECK(value != nullptr, "{}: an entry '{}' expected, found none", name_, key);
  CONVOY_CHECK(value->kind == kind, "{}: {} expected as '{}', found {}", name_, kind_name(kind), key,
               kind_name(value->kind));
  return *value;
}

const PickleArray& Pickle::array(std::string_view key) const {
  const PickleArray& result = arrays_[static_cast<std::size_t>(require(key, Kind::array).integer)];
  CONVOY_CHECK(result.is_filled, "{}: an array with contents expected as '{}', found an empty one", name_, key);
  return result;
}

std::span<const PickleValue> Pickle::list(std::string_view key) const {
  return containers_[static_cast<std::size_t>(require(key, Kind::list).integer)];
}

}  // namespace convoy

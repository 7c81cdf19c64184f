#include "weights/format/pickle.h"

#include <bit>
#include <unordered_map>

#include "core/text.h"
#include "easel/error.h"
#include "weights/format/byte_reader.h"
#include "weights/format/message_format.h"
#include "weights/format/pickle_tensor.h"

namespace easel {
namespace {

/// The state dict of SDXL's UNet takes some 70,000 operations; a value takes about 100 bytes of memory.
constexpr std::size_t kMaxOperations = 4'000'000;

// Names and meanings: CPython's Lib/pickletools.py.
enum class Opcode : std::uint8_t {
  kMark = '(',
  kStop = '.',
  kPop = '0',
  kPopMark = '1',
  kDup = '2',
  kBinBytes = 'B',
  kShortBinBytes = 'C',
  kBinFloat = 'G',
  kBinInt = 'J',
  kBinInt1 = 'K',
  kBinInt2 = 'M',
  kNone = 'N',
  kBinPersId = 'Q',
  kReduce = 'R',
  kBinString = 'T',
  kShortBinString = 'U',
  kBinUnicode = 'X',
  kAppend = 'a',
  kBuild = 'b',
  kGlobal = 'c',
  kDict = 'd',
  kAppends = 'e',
  kBinGet = 'h',
  kLongBinGet = 'j',
  kList = 'l',
  kBinPut = 'q',
  kLongBinPut = 'r',
  kSetItem = 's',
  kTuple = 't',
  kSetItems = 'u',
  kEmptyDict = '}',
  kEmptyList = ']',
  kEmptyTuple = ')',
  kProto = 0x80,
  kNewObj = 0x81,
  kTuple1 = 0x85,
  kTuple2 = 0x86,
  kTuple3 = 0x87,
  kNewTrue = 0x88,
  kNewFalse = 0x89,
  kLong1 = 0x8a,
  kLong4 = 0x8b,
  kShortBinUnicode = 0x8c,
  kBinUnicode8 = 0x8d,
  kBinBytes8 = 0x8e,
  kStackGlobal = 0x93,
  kMemoize = 0x94,
  kFrame = 0x95,
};

/// The stack machine that a pickle is a program for, without everything that could run code.
class PickleMachine {
 public:
  PickleMachine(std::span<const std::byte> bytes, const std::string& where) : reader_(bytes, where), where_(where) {}

  Pickle run() {
    while (true) {
      count_operations(1);
      const auto opcode = static_cast<Opcode>(reader_.take_number<std::uint8_t>());
      if (opcode == Opcode::kStop) break;
      if (!run_literal(opcode) && !run_stack(opcode) && !run_container(opcode) && !run_object(opcode)) {
        throw unsupported(concat("the pickle has opcode ", static_cast<int>(opcode), " at byte ",
                                 reader_.position() - 1, ", which torch.save does not write"));
      }
    }
    pickle_.root = pop();
    pickle_.size = reader_.position();
    return std::move(pickle_);
  }

 private:
  Error corrupt(const std::string& what) const { return {ErrorCode::kCorruptData, concat(where_, ": ", what)}; }
  Error unsupported(const std::string& what) const { return {ErrorCode::kUnsupported, concat(where_, ": ", what)}; }

  void count_operations(std::size_t operations) {
    if (operations > operations_left_) throw unsupported("the pickle is longer than a state dict's can be");
    operations_left_ -= operations;
  }

  template <class T>
  PickleValue* make(T value) {
    return &pickle_.values.emplace_back(std::move(value));
  }
  template <class T>
  bool push(T value) {
    stack_.push_back(make(std::move(value)));
    return true;
  }
  /// Values below the last mark cannot be reached, as in Python.
  PickleValue* top() {
    if (stack_.size() <= (marks_.empty() ? 0 : marks_.back()))
      throw corrupt("the pickle takes a value that is not there");
    return stack_.back();
  }
  PickleValue* pop() {
    auto* value = top();
    stack_.pop_back();
    return value;
  }
  /// Removes everything above the last mark, and the mark.
  std::vector<PickleValue*> pop_to_mark() {
    if (marks_.empty()) throw corrupt("the pickle takes values to a mark that is not there");
    const auto first = stack_.begin() + static_cast<std::ptrdiff_t>(marks_.back());
    std::vector<PickleValue*> values(first, stack_.end());
    stack_.erase(first, stack_.end());
    marks_.pop_back();
    return values;
  }

  bool run_literal(Opcode opcode) {
    switch (opcode) {
      case Opcode::kNone:
        return push(PickleNone{});
      case Opcode::kNewTrue:
        return push(true);
      case Opcode::kNewFalse:
        return push(false);
      case Opcode::kBinInt:
        return push(std::int64_t{reader_.take_number<std::int32_t>()});
      case Opcode::kBinInt1:
        return push(std::int64_t{reader_.take_number<std::uint8_t>()});
      case Opcode::kBinInt2:
        return push(std::int64_t{reader_.take_number<std::uint16_t>()});
      case Opcode::kLong1:
        return push_long(reader_.take_number<std::uint8_t>());
      case Opcode::kLong4:
        return push_long(reader_.take_number<std::uint32_t>());
      case Opcode::kBinFloat:
        return push(big_endian_double());
      case Opcode::kShortBinString:
      case Opcode::kShortBinBytes:
      case Opcode::kShortBinUnicode:
        return push_text(reader_.take_number<std::uint8_t>());
      case Opcode::kBinString:
      case Opcode::kBinBytes:
      case Opcode::kBinUnicode:
        return push_text(reader_.take_number<std::uint32_t>());
      case Opcode::kBinBytes8:
      case Opcode::kBinUnicode8:
        return push_text(reader_.take_number<std::uint64_t>());
      default:
        return false;
    }
  }
  bool push_text(std::uint64_t size) { return push(std::string(reader_.take_text(size))); }
  double big_endian_double() {
    std::uint64_t bits = 0;
    for (const std::byte byte : reader_.take(sizeof bits)) bits = bits << 8 | std::to_integer<std::uint64_t>(byte);
    return std::bit_cast<double>(bits);
  }
  /// Two's complement, little-endian.
  bool push_long(std::uint64_t size) {
    const std::string bytes(reader_.take_text(size));
    if (size > sizeof(std::uint64_t)) return push(PickleBytes{bytes});
    std::uint64_t value = size > 0 && (bytes.back() & 0x80) != 0 ? ~std::uint64_t{0} : 0;
    for (std::size_t i = bytes.size(); i-- > 0;) value = value << 8 | static_cast<unsigned char>(bytes[i]);
    return push(static_cast<std::int64_t>(value));
  }

  bool run_stack(Opcode opcode) {
    switch (opcode) {
      case Opcode::kProto:
        reader_.take(1);
        return true;
      case Opcode::kFrame:
        reader_.take(8);
        return true;
      case Opcode::kMark:
        marks_.push_back(stack_.size());
        return true;
      case Opcode::kPop:
        pop();
        return true;
      case Opcode::kPopMark:
        pop_to_mark();
        return true;
      case Opcode::kDup:
        stack_.push_back(top());
        return true;
      case Opcode::kBinGet:
        return recall(reader_.take_number<std::uint8_t>());
      case Opcode::kLongBinGet:
        return recall(reader_.take_number<std::uint32_t>());
      case Opcode::kBinPut:
        memo_[reader_.take_number<std::uint8_t>()] = top();
        return true;
      case Opcode::kLongBinPut:
        memo_[reader_.take_number<std::uint32_t>()] = top();
        return true;
      case Opcode::kMemoize:
        memo_[static_cast<std::uint32_t>(memo_.size())] = top();
        return true;
      default:
        return false;
    }
  }
  bool recall(std::uint32_t index) {
    const auto found = memo_.find(index);
    if (found == memo_.end()) throw corrupt(concat("the pickle recalls value ", index, ", which it never kept"));
    stack_.push_back(found->second);
    return true;
  }

  bool run_container(Opcode opcode) {
    switch (opcode) {
      case Opcode::kEmptyList:
      case Opcode::kEmptyTuple:
        return push(PickleList{});
      case Opcode::kList:
      case Opcode::kTuple:
        return push(PickleList{pop_to_mark()});
      case Opcode::kTuple1:
        return push_tuple(1);
      case Opcode::kTuple2:
        return push_tuple(2);
      case Opcode::kTuple3:
        return push_tuple(3);
      case Opcode::kEmptyDict:
        return push(PickleDict{});
      case Opcode::kDict: {
        PickleDict dict;
        insert(dict, pop_to_mark());
        return push(std::move(dict));
      }
      case Opcode::kAppend:
        return append({pop()});
      case Opcode::kAppends:
        return append(pop_to_mark());
      case Opcode::kSetItem: {
        auto* value = pop();
        return set_items({pop(), value});
      }
      case Opcode::kSetItems:
        return set_items(pop_to_mark());
      default:
        return false;
    }
  }
  bool push_tuple(std::size_t size) {
    PickleList tuple{std::vector<PickleValue*>(size)};
    while (size-- > 0) tuple.items[size] = pop();
    return push(std::move(tuple));
  }
  bool append(const std::vector<PickleValue*>& values) {
    auto* list = std::get_if<PickleList>(top());
    if (list == nullptr) throw corrupt("the pickle appends to something that is not a list");
    list->items.insert(list->items.end(), values.begin(), values.end());
    return true;
  }
  bool set_items(const std::vector<PickleValue*>& keys_and_values) {
    auto* dict = std::get_if<PickleDict>(top());
    if (dict == nullptr) throw corrupt("the pickle sets an item of something that is not a dict");
    insert(*dict, keys_and_values);
    return true;
  }
  void insert(PickleDict& dict, const std::vector<PickleValue*>& keys_and_values) {
    if (keys_and_values.size() % 2 != 0) throw corrupt("the pickle has a dict key without a value");
    for (std::size_t i = 0; i < keys_and_values.size(); i += 2) {
      dict.items.emplace_back(keys_and_values[i], keys_and_values[i + 1]);
    }
  }

  bool run_object(Opcode opcode) {
    switch (opcode) {
      case Opcode::kGlobal: {
        const std::string module = take_line();
        return push_global(module, take_line());
      }
      case Opcode::kStackGlobal: {
        const auto *name = pop()->as<std::string>(), *module = pop()->as<std::string>();
        if (name == nullptr || module == nullptr)
          throw corrupt("the pickle names a class by something that is not text");
        return push_global(*module, *name);
      }
      case Opcode::kReduce:
      case Opcode::kNewObj: {
        const auto* arguments = pop()->as<PickleList>();
        const auto* callee = pop()->as<PickleGlobal>();
        if (arguments == nullptr || callee == nullptr)
          throw corrupt("the pickle calls something that is not a function");
        stack_.push_back(call(callee->name, *arguments));
        return true;
      }
      case Opcode::kBuild: {
        // An OrderedDict's own attributes: state dicts carry the `_metadata` of their modules, which is not weights.
        const auto* attributes = pop()->as<PickleDict>();
        const bool plain = attributes != nullptr && top()->as<PickleDict>() != nullptr;
        if (!plain && top()->as<PickleOpaque>() == nullptr)
          throw unsupported("the pickle sets attributes of something that is not a dict");
        return true;
      }
      case Opcode::kBinPersId: {
        auto* id = pop();
        return push(pickled_storage(*id, pickle_.storages, where_));
      }
      default:
        return false;
    }
  }
  std::string take_line() {
    constexpr std::size_t kMaxGlobalNameBytes = 1000;
    std::string line;
    for (char c; (c = static_cast<char>(reader_.take_number<std::uint8_t>())) != '\n';) {
      if (line.size() == kMaxGlobalNameBytes) throw corrupt("the pickle names a class of more than a thousand letters");
      line += c;
    }
    return line;
  }
  bool push_global(const std::string& module, const std::string& name) {
    const std::string full = module + "." + name;
    if (!is_allowed_global(full)) {
      throw unsupported(
          concat("the pickle asks for ", quote_name(full), ", which no state dict needs; nothing of it was run"));
    }
    return push(PickleGlobal{full});
  }
  PickleValue* call(const std::string& function, const PickleList& arguments) {
    if (function == "collections.OrderedDict") return make(ordered_dict(arguments));
    if (function == "torch.Size" && arguments.items.size() == 1) return arguments.items[0];
    if (function == "torch._utils._rebuild_parameter" && !arguments.items.empty() &&
        arguments.items[0]->as<PickledTensor>() != nullptr) {
      return arguments.items[0];
    }
    if (function == "torch._utils._rebuild_tensor" || function == "torch._utils._rebuild_tensor_v2") {
      for (const auto* argument : arguments.items) {  // one shape can be used for many tensors
        if (const auto* sizes = argument->as<PickleList>()) count_operations(sizes->items.size());
      }
      return make(pickled_tensor(arguments, where_));
    }
    if (is_ignored_callable(function)) return make(PickleOpaque{});
    throw corrupt(concat("the pickle calls `", function, "` with arguments that it does not take"));
  }
  /// OrderedDict() or OrderedDict([[key, value], ...])
  PickleDict ordered_dict(const PickleList& arguments) {
    PickleDict dict;
    if (arguments.items.empty()) return dict;
    const auto* pairs = arguments.items[0]->as<PickleList>();
    if (arguments.items.size() > 1 || pairs == nullptr)
      throw corrupt("the pickle makes a dict of something that is not a list");
    count_operations(pairs->items.size());  // one list can be used many times
    for (const auto* item : pairs->items) {
      const auto* pair = item->as<PickleList>();
      if (pair == nullptr || pair->items.size() != 2)
        throw corrupt("the pickle makes a dict of something that is not a pair");
      dict.items.emplace_back(pair->items[0], pair->items[1]);
    }
    return dict;
  }

  ByteReader reader_;
  const std::string& where_;
  Pickle pickle_;
  std::size_t operations_left_ = kMaxOperations;
  std::vector<PickleValue*> stack_;
  std::vector<std::size_t> marks_;  // sizes of the stack
  std::unordered_map<std::uint32_t, PickleValue*> memo_;
};

}  // namespace

Pickle read_pickle(std::span<const std::byte> bytes, const std::string& where) {
  return PickleMachine(bytes, where).run();
}

}  // namespace easel

// SPDX-License-Identifier: LGPL-3.0-only
// Contracts of the tests: what a receipt reader meets in the wild. Compiled once by `compile.js` to contracts.json.
pragma solidity 0.8.30;

contract TestToken {
    string public symbol;
    uint8 public decimals;
    mapping(address => uint256) public balanceOf;
    event Transfer(address indexed from, address indexed to, uint256 value);

    constructor(string memory symbol_, uint8 decimals_) {
        symbol = symbol_;
        decimals = decimals_;
    }

    function mint(address to, uint256 value) external {
        balanceOf[to] += value;
        emit Transfer(address(0), to, value);
    }

    function transfer(address to, uint256 value) external returns (bool) {
        _move(msg.sender, to, value);
        return true;
    }

    // Anybody may move nothing in anybody's name: "address poisoning" does it.
    function transferFrom(address from, address to, uint256 value) external returns (bool) {
        require(value == 0 || from == msg.sender, "not allowed");
        _move(from, to, value);
        return true;
    }

    // Many logs in one transaction; the first `hits` of them go to `to`, the rest to strangers.
    function fan(address to, uint256 count, uint256 hits, uint256 value) external {
        for (uint256 i = 0; i < count; i++) {
            _move(msg.sender, i < hits ? to : address(uint160(0x1000000 + i)), value);
        }
    }

    function _move(address from, address to, uint256 value) internal {
        require(balanceOf[from] >= value, "balance");
        balanceOf[from] -= value;
        balanceOf[to] += value;
        emit Transfer(from, to, value);
    }
}

// As an old token that everybody uses: no return value, a fee that may be switched on, pause, blacklist.
contract NoReturnToken {
    string public symbol = "USDT";
    uint8 public decimals = 6;
    mapping(address => uint256) public balanceOf;
    mapping(address => bool) public blocked;
    uint256 public feePerMille;
    bool public paused;
    address public collector;
    event Transfer(address indexed from, address indexed to, uint256 value);

    constructor() {
        collector = msg.sender;
    }

    function mint(address to, uint256 value) external {
        balanceOf[to] += value;
        emit Transfer(address(0), to, value);
    }

    function set(uint256 fee, bool pause_) external {
        feePerMille = fee;
        paused = pause_;
    }

    function setBlocked(address who, bool is_) external {
        blocked[who] = is_;
    }

    function transfer(address to, uint256 value) external {
        require(!paused && !blocked[msg.sender] && !blocked[to], "stopped");
        require(balanceOf[msg.sender] >= value, "balance");
        uint256 fee = (value * feePerMille) / 1000;
        balanceOf[msg.sender] -= value;
        balanceOf[to] += value - fee;
        emit Transfer(msg.sender, to, value - fee);
        if (fee > 0) {
            balanceOf[collector] += fee;
            emit Transfer(msg.sender, collector, fee);
        }
    }
}

// Logs a transfer and moves nothing.
contract LyingToken {
    string public symbol = "LIE";
    uint8 public decimals = 6;
    event Transfer(address indexed from, address indexed to, uint256 value);

    function balanceOf(address) external pure returns (uint256) {
        return 0;
    }

    function transfer(address to, uint256 value) external returns (bool) {
        emit Transfer(msg.sender, to, value);
        return true;
    }
}

// No token at all, but the same event, in the name of anybody.
contract Spoof {
    event Transfer(address indexed from, address indexed to, uint256 value);

    function shout(address from, address to, uint256 value) external {
        emit Transfer(from, to, value);
    }
}

// An NFT has the same first topic; its third argument is indexed too, so that there are four topics.
contract Nft {
    event Transfer(address indexed from, address indexed to, uint256 indexed tokenId);

    function give(address to, uint256 id) external {
        emit Transfer(msg.sender, to, id);
    }
}

// A price feed with the usual interface.
contract Feed {
    uint8 public decimals = 8;
    int256 public answer;
    uint256 public updated;

    function set(int256 answer_, uint256 updated_) external {
        answer = answer_;
        updated = updated_;
    }

    function latestRoundData() external view returns (uint80, int256, uint256, uint256, uint80) {
        return (1, answer, updated, updated, 1);
    }
}

// The two functions of Multicall3 that are used, with its interface.
contract Balances {
    struct Call3 {
        address target;
        bool allowFailure;
        bytes callData;
    }
    struct Result {
        bool success;
        bytes returnData;
    }

    function aggregate3(Call3[] calldata calls) external payable returns (Result[] memory results) {
        results = new Result[](calls.length);
        for (uint256 i = 0; i < calls.length; i++) {
            (results[i].success, results[i].returnData) = calls[i].target.call(calls[i].callData);
            require(calls[i].allowFailure || results[i].success, "failed");
        }
    }

    function getEthBalance(address who) external view returns (uint256) {
        return who.balance;
    }
}

// Pays native coin by calls from inside: what smart wallets and exchanges do. No transaction names the receiver.
contract Splitter {
    receive() external payable {}

    function split(address payable first, address payable second) external payable {
        first.transfer(msg.value / 2);
        second.transfer(msg.value - msg.value / 2);
    }
}

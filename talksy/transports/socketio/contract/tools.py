"""Tools, their calls, and what people decide about those."""

from collections.abc import Mapping

from talksy.errors import (
    ApprovalExpired,
    Forbidden,
    IdempotencyConflict,
    NotFound,
    PayloadTooLarge,
    ServerDraining,
    SessionExpired,
    ToolBusy,
    ToolDenied,
    ToolNotFound,
)
from talksy.transports import shapes
from talksy.transports.socketio.contract.entry import ALWAYS, CALL, TURN, Asked, Told
from talksy.transports.socketio.payloads import CallTool, GetToolInfo, ListTools, ToolDecision

TOOL = shapes.ToolDefinition(
    name="get_order_status",
    description="The status of an order.",
    category="data",
    version="1.0.0",
    parameters={
        "type": "object",
        "properties": {"orderId": {"type": "string"}},
        "required": ["orderId"],
        "additionalProperties": False,
    },
    timeoutMs=30_000,
    policy="auto",
    sandboxed=False,
)

ASKED: Mapping[str, Asked] = {
    "list_tools": Asked(
        "Ask which tools may be used.",
        ListTools,
        {"category": "data"},
        shapes.Accepted,
        shapes.Accepted(ok=True),
        ALWAYS,
        ["tools_list"],
    ),
    "get_tool_info": Asked(
        "Ask about one tool.",
        GetToolInfo,
        {"toolName": "get_order_status"},
        shapes.Accepted,
        shapes.Accepted(ok=True),
        [ToolNotFound, ToolDenied, Forbidden, *ALWAYS],
        ["tool_info"],
    ),
    "call_tool": Asked(
        "Call a tool. It goes on if the connection is lost; with the session it ends. Where a "
        "person must approve it, `tool_call` says so to all devices of the session.",
        CallTool,
        {"toolName": "get_order_status", "parameters": {"orderId": "ORD-1001"}},
        shapes.ToolCallAccepted,
        shapes.ToolCallAccepted(ok=True, callId=CALL),
        [
            ToolNotFound,
            ToolDenied,
            ToolBusy,
            Forbidden,
            PayloadTooLarge,
            IdempotencyConflict,
            SessionExpired,
            ServerDraining,
            *ALWAYS,
        ],
        ["tool_result", "tool_call"],
    ),
    "tool_decision": Asked(
        "Approve or refuse a call that waits for a person. The first decision counts, whoever "
        "sends another.",
        ToolDecision,
        {"callId": CALL, "decision": "approve"},
        shapes.ToolDecisionTaken,
        shapes.ToolDecisionTaken(ok=True, decision="approve"),
        [NotFound, ApprovalExpired, SessionExpired, *ALWAYS],
        ["tool_decided", "tool_result"],
    ),
}

TOLD: Mapping[str, Told] = {
    "tool_call": Told(
        "A tool is asked for: in a turn by the model, under the turn's numbers; without a turn by "
        "a client, where a person decides first.",
        (
            "tool_call",
            shapes.ToolCall(
                callId=CALL,
                toolName="get_order_status",
                parameters={"orderId": "ORD-1001"},
                turnId=TURN,
                seq=2,
            ),
        ),
    ),
    "tool_result": Told(
        "What a call came to: of a model's in its turn, of a client's `call_tool` without one.",
        (
            "tool_result",
            shapes.ToolResult(
                callId=CALL,
                toolName="get_order_status",
                success=True,
                status="done",
                result={"orderId": "ORD-1001", "status": "shipped"},
                executionTimeMs=3,
                turnId=TURN,
                seq=3,
            ),
        ),
    ),
    "tool_decided": Told(
        "Somebody decided about a call that waited for a person.",
        ("tool_decided", shapes.ToolDecided(callId=CALL, decision="approve", turnId=TURN)),
    ),
    "tools_list": Told("What `list_tools` asked for, by name.", ("tools_list", [TOOL])),
    "tool_info": Told("What `get_tool_info` asked for.", ("tool_info", TOOL)),
}

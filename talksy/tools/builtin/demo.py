"""Two tools on sample data, to see the whole way of a call without a key or a shop."""

from collections.abc import Mapping
from typing import Annotated, Any

from pydantic import Field

from talksy.errors import ToolFailed
from talksy.tools.function import tool

BALANCES: Mapping[str, tuple[float, str]] = {
    "user-1": (1250.75, "USD"),
    "user-2": (89.5, "EUR"),
    "user-3": (0.0, "USD"),
}
ORDERS: Mapping[str, Mapping[str, str]] = {
    "ORD-1001": {"status": "shipped", "carrier": "DHL", "expected": "tomorrow"},
    "ORD-1002": {"status": "processing", "expected": "in three days"},
    "ORD-1003": {"status": "delivered", "carrier": "UPS"},
    "ORD-1004": {"status": "cancelled"},
}

UserId = Annotated[str, Field(max_length=64)]
OrderId = Annotated[str, Field(max_length=64)]


@tool(category="data", idempotent=True)
async def get_account_balance(userId: UserId) -> dict[str, Any]:  # noqa: N803 - as it is on the wire
    """Looks up the balance of an account in the sample data.

    Args:
        userId: such as user-1
    """
    if userId not in BALANCES:
        raise ToolFailed(f"There is no such user: the sample data has {', '.join(BALANCES)}.")
    balance, currency = BALANCES[userId]
    return {"userId": userId, "balance": balance, "currency": currency}


@tool(category="data", idempotent=True)
async def get_order_status(orderId: OrderId) -> dict[str, Any]:  # noqa: N803 - as it is on the wire
    """Looks up how far an order is in the sample data.

    Args:
        orderId: such as ORD-1001
    """
    if orderId not in ORDERS:
        raise ToolFailed(f"There is no such order: the sample data has {', '.join(ORDERS)}.")
    return {"orderId": orderId, **ORDERS[orderId]}

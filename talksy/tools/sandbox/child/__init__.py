"""What runs in processes of its own: the zygote, and a child for each call.

Nothing here imports more of Talksy than a sandboxed tool needs.
"""

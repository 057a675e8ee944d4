"""Engine.IO, Socket.IO and WebSocket as others speak them, against running servers."""

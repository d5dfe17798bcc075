// A server of the npm package ws for weir bench: at /echo everybody gets back what they say, elsewhere all others get it.
// It prints its address, and ends with its standard input.
import { WebSocket, WebSocketServer } from 'ws'

const server = new WebSocketServer({ host: '127.0.0.1', port: 0 })
server.on('listening', () => console.log(`http://127.0.0.1:${server.address().port}`))
server.on('connection', (ws, request) => {
  ws.on('message', (data, binary) => {
    if (request.url === '/echo') return ws.send(data, { binary })
    for (const other of server.clients) {
      if (other !== ws && other.readyState === WebSocket.OPEN) other.send(data, { binary })
    }
  })
})
process.stdin.resume().on('end', () => process.exit())

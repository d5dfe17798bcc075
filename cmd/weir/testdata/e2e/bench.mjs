// A server of the npm package ws for weir bench. At /echo everybody gets back what they say, at /json messages have an op, a room and
// a body, and elsewhere all others get what one says. It prints its address, and ends with its standard input.
import { WebSocket, WebSocketServer } from 'ws'

const server = new WebSocketServer({ host: '127.0.0.1', port: 0 })
const rooms = new Map()

const json = (ws, text) => {
  const { op, room, body } = JSON.parse(text)
  if (op === 'join') {
    rooms.set(room, (rooms.get(room) ?? new Set()).add(ws))
    ws.on('close', () => rooms.get(room).delete(ws))
    return ws.send(JSON.stringify({ op: 'joined', room }))
  }
  if (op !== 'say') return ws.send(JSON.stringify({ op: 'error', why: `no op ${op}` }))
  const said = JSON.stringify({ op: 'said', room, body })
  for (const member of rooms.get(room) ?? []) member.send(said)
}

server.on('listening', () => console.log(`http://127.0.0.1:${server.address().port}`))
server.on('connection', (ws, request) => {
  ws.on('message', (data, binary) => {
    if (request.url === '/echo') return ws.send(data, { binary })
    if (request.url === '/json') return json(ws, data)
    for (const other of server.clients) {
      if (other !== ws && other.readyState === WebSocket.OPEN) other.send(data, { binary })
    }
  })
})
process.stdin.resume().on('end', () => process.exit())

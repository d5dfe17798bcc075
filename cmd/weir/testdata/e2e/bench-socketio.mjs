// A server of the npm package socket.io for weir bench, with the events that the preset names. It asks for a token, as applications do.
// It prints its address, and ends with its standard input.
import { createServer } from 'node:http'
import { Server } from 'socket.io'

const http = createServer()
const io = new Server(http)
io.use((socket, next) => next(socket.handshake.auth.token === 'let me in' ? undefined : new Error('no such token')))
io.on('connection', (socket) => {
  socket.on('subscribe', (channel, done) => {
    socket.join(channel)
    done()
  })
  socket.on('publish', (channel, payload) => io.to(channel).emit('message', channel, payload))
})
http.listen(0, '127.0.0.1', () => console.log(`http://127.0.0.1:${http.address().port}`))
process.stdin.resume().on('end', () => process.exit())

import { authMiddleware } from '../../middlewares/auth.middleware'

export const config = { type: 'api', name: 'RegisterDevice', method: 'POST', path: '/devices', middleware: [authMiddleware], emits: [] }

export const handler = async (req, { state }) => {
  const { url } = req.body
  if (!URL.canParse(url)) return { status: 400, body: { error: 'url must be where the device is reached' } }
  const device = { id: crypto.randomUUID(), url }
  await state.set(`devices:${req.user.userId}`, device.id, device)
  return { status: 201, body: device }
}

import { test } from 'tap'
import { JsonLines } from '../../src/lib/json-lines.ts'

test('values come out line by line, however the text is cut', async (t) => {
  const text = '{"a":1}\n\n[2]\n"three"\n'
  for (let at = 0; at <= text.length; at += 1) {
    const lines = new JsonLines(100)
    t.same([...lines.take(text.slice(0, at)), ...lines.take(text.slice(at))], [{ a: 1 }, [2], 'three'])
  }
})

test('a line that is too long or no JSON is an error, finished or not', async (t) => {
  t.throws(() => new JsonLines(5).take('123456\n'), /more than 5 characters/)
  t.throws(() => new JsonLines(5).take('123456'), /more than 5 characters/)
  const lines = new JsonLines(5)
  lines.take('1234')
  t.throws(() => lines.take('56\n'), /more than 5 characters/)
  t.throws(() => new JsonLines(5).take('{\n'), SyntaxError)
})

declare module "style.raw.css" {
  const css: string;
  export default css;
}

Feature: Changing what the shop sells
  A shop changes its prices and takes products out of sale. A customer pays what she was shown.

  Background:
    Given the shop has 5 fountain pens at 12.50 EUR each
    And the shop has 5 bottles of ink at 3.00 EUR each

  Rule: An order keeps the price at which it was placed

    Scenario: The price rises before she pays
      Given a customer has ordered 2 fountain pens
      When the shop sells fountain pens at 15.00 EUR from now on
      And she pays
      Then her card has been charged 25.00 EUR

    Scenario: The next customer pays the new price
      Given the shop sells fountain pens at 15.00 EUR from now on
      When a customer orders 2 fountain pens
      Then its total is 30.00 EUR

  Rule: What is not for sale can't be ordered, and what was ordered is delivered

    Scenario: A product is taken out of sale
      Given the shop has taken fountain pens out of sale
      When a customer orders 1 fountain pen and 1 bottle of ink
      Then that is refused: not for sale

    Scenario: It was ordered before
      Given a customer has ordered 2 fountain pens
      And the shop has taken fountain pens out of sale
      When she pays
      Then her order is paid
      And 3 fountain pens are left

    Scenario: It comes back
      Given the shop has taken fountain pens out of sale
      And the shop sells fountain pens again
      When a customer orders 1 fountain pen
      Then her order awaits payment
